"""Who may use the bot where, as admins set it: ``/admin block`` and ``/admin channels``."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import pytest

from bot.playground.world import World
from bot.store import moderation
from bot.store.moderation import Block, Rule
from tests.helpers.admins import admin_of, another_server, ask, audited, labels, told
from tests.helpers.faults import Faulty
from tests.helpers.waiting import leave_running, until
from tests.helpers.worlds import OpenWorld
from zimage_engine.types import Unit


@pytest.fixture
async def world(world_of: OpenWorld) -> Any:
    """Nothing is drawn in most of these tests, so the model need not be there."""
    async with world_of(load=False) as opened:
        yield opened


async def blocks(world: World, guild_id: int | None = None) -> list[Block]:
    look = partial(moderation.blocks_of, guild_id=guild_id or world.channel.guild.id, now=int(time.time()))
    return await world.env.bot.database.read(look)


# People


async def test_a_member_is_blocked_here_for_a_while_and_may_go_on_after_unblocking(world_of: OpenWorld) -> None:
    async with world_of() as world:
        ada, mira = admin_of(world), world.member
        now = int(time.time())
        message = await told(world, ada, "admin block", member=mira, **{"for": "1d12h"}, reason="too\nmany ducks")
        (block,) = await blocks(world)
        assert (block.member_id, block.reason) == (mira.id, "too many ducks")
        assert 129_600 <= (block.until or 0) - now < 129_660
        assert message.content == (
            f"<@{mira.id}> is blocked in this server until <t:{block.until}:f>, and is told why: ``too many ducks``."
        )
        refusal = await ask(world)
        assert "too many ducks" in refusal
        assert f"<t:{block.until}:" in refusal
        elsewhere, _ = another_server(world)
        there = elsewhere.guild.add_member(world.env.create_user("noa"))
        assert "seed 1" in await ask(world, there, elsewhere)

        said = await told(world, ada, "admin unblock", member=mira)
        assert said.content == f"<@{mira.id}> may use me in this server again."
        assert "seed 1" in await ask(world)
        assert [change.action for change in await audited(world)] == ["block", "unblock"]


async def test_blocking_again_changes_it_and_the_same_again_changes_nothing(world: World) -> None:
    ada, mira = admin_of(world), world.member
    await told(world, ada, "admin block", member=mira, **{"for": "2w"}, reason="ducks")
    await told(world, ada, "admin block", member=mira)
    (block,) = await blocks(world)
    assert (block.until, block.reason) == (None, None)
    said = await told(world, ada, "admin block", member=mira)
    assert said.content == f"<@{mira.id}> was already blocked in this server for good."
    first, second = await audited(world)
    assert (first.before, second.after, first.reason) == ("not blocked", "blocked for good", "ducks")
    assert first.after == second.before != "not blocked"


async def test_who_cannot_be_blocked_and_why(world: World) -> None:
    guild, ada = world.channel.guild, admin_of(world)
    other = guild.add_member(world.env.create_user("bea"), roles=[guild.roles["boss"]])
    helpers = guild.create_role("helpers")
    helper = guild.add_member(world.env.create_user("hal"), roles=[helpers])
    await told(world, ada, "admin settings", admin_role=helpers)
    bot = guild.add_member(world.env.create_user("robot", bot=True))
    sentences = {
        ada: "You would block yourself; ask another admin if you mean it.",
        other: "is an admin of this server and cannot be blocked",
        helper: "is an admin of this server and cannot be blocked",
        bot: "Bots cannot ask for pictures",
    }
    for member, sentence in sentences.items():
        assert sentence in (await told(world, ada, "admin block", member=member)).content
    said = await told(world, ada, "admin block", member=world.member, **{"for": "soon"})
    assert "“soon” is no period" in said.content
    said = await told(world, ada, "admin unblock", member=world.member)
    assert said.content == f"<@{world.member.id}> is not blocked in this server; /admin blocked lists who is."
    assert await blocks(world) == []


async def test_somebody_who_has_left_can_be_blocked_and_unblocked(world: World) -> None:
    ada, user = admin_of(world), world.env.create_user("gone")
    world.channel.guild.add_member(user)
    world.channel.guild.remove_member(user)
    assert "for good" in (await told(world, ada, "admin block", member=user)).content
    assert [block.member_id for block in await blocks(world)] == [user.id]
    assert "again" in (await told(world, ada, "admin unblock", member=user)).content


async def test_blocking_cancels_what_is_in_line_here_and_nothing_else(world_of: OpenWorld) -> None:
    gate, entered = threading.Event(), threading.Event()
    worker = partial(Faulty, unit=Unit.DENOISE, gate=gate, entered=entered)
    async with world_of(worker, concurrent_jobs=1) as world:
        ada = admin_of(world)
        elsewhere, _ = another_server(world)
        there = elsewhere.guild.add_member(world.env.create_user("noa"))
        asks = [(world.member, world.channel)] * 2 + [(there, elsewhere)]
        for who, channel in asks:
            await leave_running(world, who.slash(channel, "imagine", prompt="a red circle", seed=1))
        await until(entered.is_set)
        await until(lambda: len(world.env.bot.jobs.active) == 3)
        await leave_running(world, ada.slash(world.channel, "admin block", member=world.member))
        told_so = "1 of their jobs that was not drawn yet is cancelled."
        await until(lambda: any(m.content.endswith(told_so) for m in world.channel.history(viewer=ada)))
        gate.set()
        await world.env.settle()
        states = await world.env.bot.database.query("SELECT state FROM jobs ORDER BY id")
        assert [row["state"] for row in states] == ["delivered", "cancelled", "delivered"]


async def test_the_list_of_who_is_blocked_in_pages_without_those_whose_time_is_over(world: World) -> None:
    ada, guild_id, now = admin_of(world), world.channel.guild.id, int(time.time())
    assert (await told(world, ada, "admin blocked")).content == "Nobody is blocked in this server."

    def write(connection: Any) -> None:
        for number in range(1, 13):
            until_then = None if number % 2 else now + number * 1000
            moderation.write_block(connection, guild_id, Block(number, until_then, "`duck` " * 28, now + number))
        moderation.write_block(connection, guild_id, Block(99, now - 1, "over", now))
        moderation.write_block(connection, guild_id + 1, Block(98, None, "elsewhere", now))

    await world.env.bot.database.write(write)
    message = await told(world, ada, "admin blocked")
    heading, first, second, *rest = message.content.splitlines()
    assert heading == "**12 members are blocked in this server**, the newest first · page 1 of 2"
    assert first.startswith(f"<@12> ends <t:{now + 12_000}:R> · `` `duck` `duck`")
    assert second.startswith("<@11> for good · `` `duck`")
    assert len(rest) == 8
    await ada.click(message, label="Next")
    (message,) = world.channel.history(viewer=ada)[1:]
    assert [line.split()[0] for line in message.content.splitlines()[1:]] == ["<@2>", "<@1>"]
    assert labels(message) == ["Back"]


# Places


async def channel_rules(world: World) -> dict[int, Rule]:
    return await world.env.bot.database.read(partial(moderation.channel_rules, guild_id=world.channel.guild.id))


async def test_rules_for_every_kind_of_channel_and_what_follows_from_them(world: World) -> None:
    guild, ada = world.channel.guild, admin_of(world)
    message = await told(world, ada, "admin channels list")
    assert message.content == "There are no rules for channels: I may be used in all of them."
    thread = world.env.backend.create_thread(world.channel.id, "old thread", ada.id)
    places = [
        world.channel,
        guild.create_category("rooms"),
        guild.create_forum_channel("forum"),
        guild.create_voice_channel("talk"),
        guild.create_stage_channel("stage"),
        guild.create_news_channel("news"),
    ]
    for place in places:
        said = await told(world, ada, "admin channels deny", channel=place)
        assert said.content.startswith(f"I may not be used in <#{place.id}>.")
    (handle,) = world.channel.threads
    await told(world, ada, "admin channels deny", channel=handle)
    assert await channel_rules(world) == dict.fromkeys([thread.id, *(place.id for place in places)], "deny")
    message = await told(world, ada, "admin channels list")
    heading, *lines = message.content.splitlines()
    assert heading == (
        "**I may be used everywhere but where it says deny**. A thread's own rule goes before its channel's, and a "
        "channel's before its category's."
    )
    assert sorted(lines) == sorted(f"deny: <#{channel_id}>" for channel_id in await channel_rules(world))

    await told(world, ada, "admin channels allow", channel=world.channel)
    await told(world, ada, "admin settings", age_restricted_only="on")
    message = await told(world, ada, "admin channels list")
    assert message.content.startswith(
        "**I may be used only where it says allow**, and in age-restricted channels only."
    )
    assert f"allow: <#{world.channel.id}>" in message.content


async def test_the_category_says_that_it_holds_for_its_channels(world: World) -> None:
    category = world.channel.guild.create_category("rooms")
    said = await told(world, admin_of(world), "admin channels allow", channel=category)
    assert said.content == (
        f"I may be used in <#{category.id}>, and from now on only where you allow it. That holds for its channels, "
        "too, unless they have a rule of their own."
    )


async def test_where_it_is_denied_nothing_is_drawn_until_the_rule_is_cleared(world_of: OpenWorld) -> None:
    async with world_of() as world:
        guild, ada = world.channel.guild, admin_of(world)
        category = guild.create_category("rooms")
        inside, outside = guild.create_text_channel("inside", category=category), world.channel
        await told(world, ada, "admin channels allow", channel=category)
        assert "seed 1" in await ask(world, channel=inside)
        assert f"<#{category.id}>" in await ask(world, channel=outside), "it says where instead"
        await told(world, ada, "admin channels deny", channel=inside)
        assert "seed 1" not in await ask(world, channel=inside)
        said = await told(world, ada, "admin channels clear", channel=inside)
        assert said.content == f"<#{inside.id}> has no rule of its own any more."
        assert "seed 1" in await ask(world, channel=inside)
        await told(world, ada, "admin channels clear", channel=category)
        assert "seed 1" in await ask(world, channel=outside)
        changes = [(change.action, change.before, change.after) for change in await audited(world)]
        assert changes == [
            ("channels allow", "no rule", "allow"),
            ("channels deny", "no rule", "deny"),
            ("channels clear", "deny", "no rule"),
            ("channels clear", "allow", "no rule"),
        ]


async def test_deleted_channels_are_named_as_such_and_cleared_together(world: World) -> None:
    guild, ada, backend = world.channel.guild, admin_of(world), world.env.backend
    gone = guild.create_text_channel("gone")
    archived = backend.create_thread(world.channel.id, "archived", ada.id)
    (thread,) = world.channel.threads
    for place in (gone, thread, world.channel):
        await told(world, ada, "admin channels allow", channel=place)
    backend.edit_channel(archived.id, {}, thread_metadata={"archived": True})
    backend.delete_channel(gone.id)
    message = await told(world, ada, "admin channels list")
    _, *lines = message.content.splitlines()
    assert sorted(lines) == sorted(
        [f"allow: deleted channel {gone.id}", f"allow: <#{thread.id}>", f"allow: <#{world.channel.id}>"]
    )
    said = await told(world, ada, "admin channels clear", deleted=True)
    assert said.content == "The rules of 1 deleted channel are cleared."
    assert set(await channel_rules(world)) == {thread.id, world.channel.id}
    said = await told(world, ada, "admin channels clear", deleted=True)
    assert said.content == "No rule is for a channel that was deleted."


async def test_rules_that_are_there_or_not_there_are_said_so(world: World) -> None:
    ada, place = admin_of(world), world.channel
    mention = f"<#{place.id}>"
    said = await told(world, ada, "admin channels clear", channel=place)
    assert said.content == f"There is no rule for {mention}; /admin channels list shows those there are."
    await told(world, ada, "admin channels deny", channel=place)
    said = await told(world, ada, "admin channels deny", channel=place)
    assert said.content == f"The rule for {mention} is deny already; /admin channels list shows all of them."
    for options in ({}, {"channel": place, "deleted": True}):
        said = await told(world, ada, "admin channels clear", **options)
        assert said.content == "Say which channel, or deleted: True for all those that were deleted."
    assert len(await audited(world)) == 1


# Other servers


async def test_another_server_s_rules_are_neither_seen_nor_changed(world: World) -> None:
    ada, mira, (elsewhere, eve) = admin_of(world), world.member, another_server(world)
    elsewhere.guild.add_member(world.env.create_user("noa"))
    await told(world, ada, "admin block", member=mira)
    await told(world, ada, "admin channels deny", channel=world.channel)
    await told(world, ada, "admin words add", word="duck")
    before = await audited(world)

    assert (await told(world, eve, "admin blocked", elsewhere)).content == "Nobody is blocked in this server."
    assert "no rules for channels" in (await told(world, eve, "admin channels list", elsewhere)).content
    assert "may contain anything" in (await told(world, eve, "admin words list", elsewhere)).content
    assert "Nothing was changed" in (await told(world, eve, "admin audit", elsewhere)).content
    user = world.env.create_user("unrelated")
    await told(world, eve, "admin unblock", elsewhere, member=user)
    assert "is not in the list" in (await told(world, eve, "admin words remove", elsewhere, word="duck")).content
    assert "No rule is for" in (await told(world, eve, "admin channels clear", elsewhere, deleted=True)).content
    assert await eve.autocomplete(elsewhere, "admin words remove", "word", "") == []
    assert await audited(world) == before
    assert await audited(world, elsewhere.guild.id) == []
    assert [block.member_id for block in await blocks(world)] == [mira.id]
    assert await channel_rules(world) == {world.channel.id: "deny"}
