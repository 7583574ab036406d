"""Requests that were lost while the picture to edit was being read."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from bot.playground.world import World
from bot.requests.drafts import Draft
from bot.store import open_cards, privacy
from bot.store.open_cards import OpenCard
from bot.store.reply_tokens import Visibility
from bot.views.outbox import DiscordOutbox
from bot.views.picture_references import attachment_reference
from tests.helpers.buttons import filled_in
from tests.helpers.job_worlds import PROMPT, all_ended, rendered_and_kept, results
from tests.helpers.pictures import photo
from tests.helpers.worlds import restart


async def end_left_over(world: World) -> None:
    """Check until the cards that an ended process left have been told."""
    deliveries = world.env.bot.jobs.deliveries
    for _ in range(100):
        await deliveries.check()
        if deliveries._ending_left_over is not None:
            await deliveries._ending_left_over
        if not deliveries._left_over:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("they were not told")


async def test_a_long_prompt_is_given_back_whole(world: World) -> None:
    prompt = "circle " * 250 + "end"
    await leave_open_card(world, 1, "private", 77, prompt)
    await world.env.bot.jobs.deliveries.prepare()
    await end_left_over(world)
    (lost,) = await rendered_and_kept(world, count=1, prompt=prompt)
    lost.unlink()
    world.env.bot.jobs.deliveries.start()
    await all_ended(world)
    (told,), (failed,) = world.member.user.dm_channel.history(), world.channel.history()
    assert prompt in told.content
    assert prompt in failed.content


async def test_a_request_that_was_lost_while_its_picture_was_read_is_told_with_its_prompt(world: World) -> None:
    card = await world.env.bot.get_channel(world.channel.id).send("Reading the picture …")
    place = (world.member.id, world.channel.guild.id, world.channel.id)
    posted = await world.member.send(world.channel, "look", attachments=[("p.png", photo())])
    picture = attachment_reference(posted.attachments[0])
    draft = Draft(PROMPT, flags="--strength 0.9", private=False, picture=picture).to_json()
    left = OpenCard(1, *place, "public", PROMPT, None, card.id, draft)
    await world.env.bot.database.write(partial(open_cards.open_card, card=left, now=int(time.time())))
    await restart(world)
    await end_left_over(world)
    message = world.channel.history()[0]
    assert PROMPT in message.content
    assert message.content.endswith("nothing was charged: please ask again.")
    assert await world.env.bot.database.query("SELECT * FROM open_cards") == []
    shown = await world.member.click(message, label="Edit request")
    fields = filled_in(shown)
    assert (fields["prompt"], fields["flags"]) == (PROMPT, "--strength 0.9")
    await world.member.submit_modal(shown, fields)
    assert len(results(world)) == 2, "the picture that was given, and the result"


async def leave_open_card(
    world: World, event_id: int, visibility: Visibility, message_id: int | None, prompt: str = PROMPT
) -> None:
    guild_id, channel_id = world.channel.guild.id, world.channel.id
    left = OpenCard(event_id, world.member.id, guild_id, channel_id, visibility, prompt, None, message_id)
    await world.env.bot.database.write(partial(open_cards.open_card, card=left, now=int(time.time())))


async def test_a_lost_request_whose_private_card_cannot_be_edited_is_told_directly(world: World) -> None:
    await leave_open_card(world, 1, "private", 77)
    await restart(world)
    await end_left_over(world)
    (message,) = world.member.user.dm_channel.history()
    assert PROMPT in message.content
    assert message.content.endswith("nothing was charged: please ask again.")
    assert world.channel.history() == []


async def test_lost_requests_hold_up_no_delivery_while_discord_is_slow(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = asyncio.Event()

    async def slow(outbox: DiscordOutbox, card: OpenCard, draft_id: int) -> None:
        await answered.wait()

    monkeypatch.setattr(DiscordOutbox, "end_open_card", slow)
    await rendered_and_kept(world, count=1)
    await leave_open_card(world, 1, "private", 77)
    deliveries = world.env.bot.jobs.deliveries
    await deliveries.prepare()
    deliveries.start()
    await deliveries.check()
    await all_ended(world)
    assert len(results(world)) == 1
    answered.set()
    await end_left_over(world)
    assert await world.env.bot.database.query("SELECT * FROM open_cards") == []


async def test_the_card_of_a_lost_request_is_not_taken_for_another_bot_s_reply(world: World) -> None:
    asked = await world.member.send(world.channel, "hello")
    other = world.channel.guild.add_member(world.env.create_user("other", bot=True))
    await other.send(world.channel, "hi", reply_to=asked)
    posted = await world.env.bot.get_channel(world.channel.id).fetch_message(asked.id)
    card = await posted.reply("Reading the picture …")
    await leave_open_card(world, asked.id, "public", None)
    await restart(world)
    await end_left_over(world)
    (told,) = [message for message in world.channel.history() if message.id == card.id]
    assert PROMPT in told.content


async def test_the_lost_request_of_a_member_who_had_their_data_deleted_is_not_repeated(world: World) -> None:
    await leave_open_card(world, 1, "private", 77)
    client = world.env.bot
    await client.jobs.deliveries.prepare()
    await client.database.write(partial(privacy.forget_member, member_id=world.member.id, now=6))
    await end_left_over(world)
    assert world.member.user.dm_channel.history() == []


async def test_a_lost_request_is_told_by_a_later_check_if_the_row_cannot_be_deleted_now(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leave_open_card(world, 1, "private", 77)
    await leave_open_card(world, 2, "private", 78)
    deliveries = world.env.bot.jobs.deliveries
    await deliveries.prepare()
    with monkeypatch.context() as patch:
        patch.setattr(open_cards, "close", None)
        await deliveries.check()
        assert deliveries._ending_left_over is not None
        await deliveries._ending_left_over
    await end_left_over(world)
    assert await world.env.bot.database.query("SELECT * FROM open_cards") == []


async def test_a_card_that_was_never_sent_keeps_no_other_lost_request_from_being_told(world: World) -> None:
    card = await world.env.bot.get_channel(world.channel.id).send("Reading the picture …")
    place = (world.member.id, world.channel.guild.id, world.channel.id, "public", PROMPT, None)
    for number, message_id in enumerate((1, card.id), 1):
        left = OpenCard(number, *place, message_id)
        await world.env.bot.database.write(partial(open_cards.open_card, card=left, now=number))
    await restart(world)
    await world.env.bot.jobs.deliveries.check()
    (message,) = world.channel.history()
    assert message.content.endswith("nothing was charged: please ask again.")
    assert await world.env.bot.database.query("SELECT * FROM open_cards") == []
