"""``/admin channels``: where the bot may be used."""

from __future__ import annotations

from typing import Any

import pytest

from bot.playground.world import World
from bot.views.text import MESSAGE_LIMIT
from tests.helpers.admins import admin_of, ask, audited, channel_rules_in, told
from tests.helpers.worlds import OpenWorld


@pytest.fixture
async def world(world_of: OpenWorld) -> Any:
    """Nothing is drawn in most of these tests, so the model need not be there."""
    async with world_of(load=False) as opened:
        yield opened


async def test_rules_for_every_kind_of_channel_and_what_follows_from_them(world: World) -> None:
    guild, ada = world.channel.guild, admin_of(world)
    message = await told(world, ada, "admin channels list")
    assert message.content == "There are no rules for channels: I may be used in all of them."
    thread = world.env.backend.create_thread(world.channel.id, "old thread", ada.id)
    category = guild.create_category("rooms")
    rooms = "the channels in the category **rooms**"
    places = [
        world.channel,
        category,
        guild.create_forum_channel("forum"),
        guild.create_voice_channel("talk"),
        guild.create_stage_channel("stage"),
        guild.create_news_channel("news"),
    ]
    for place in places:
        said = await told(world, ada, "admin channels deny", channel=place)
        named = rooms if place is category else f"<#{place.id}>"
        assert said.content.startswith(f"I may not be used in {named}.")
    (handle,) = world.channel.threads
    await told(world, ada, "admin channels deny", channel=handle)
    assert await channel_rules_in(world) == dict.fromkeys([thread.id, *(place.id for place in places)], "deny")
    message = await told(world, ada, "admin channels list")
    heading, *lines = message.content.splitlines()
    assert heading == (
        "**I may be used everywhere except where it says deny**. A thread's own rule goes before its channel's, and a "
        "channel's before its category's."
    )
    assert sorted(lines) == sorted(
        f"deny: {rooms}" if channel_id == category.id else f"deny: <#{channel_id}>"
        for channel_id in await channel_rules_in(world)
    )

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
        "I may be used in the channels in the category **rooms**, and only where you allow it. That holds for its "
        "channels, too, unless they have a rule of their own."
    )


async def test_a_refusal_that_names_a_category_has_room_for_a_long_prompt(world: World) -> None:
    category = world.channel.guild.create_category("r" * 100)
    await told(world, admin_of(world), "admin channels allow", channel=category)
    prompt = f"<#{category.id}> " + "a cat " * 600
    refused = await world.member.slash(world.channel, "imagine", prompt=prompt)
    sentence, repeated = refused.response.content.splitlines()
    assert sentence.endswith(f"the channels in the category **{category.name}**.")
    assert repeated.startswith(f"``<#{category.id}> a cat"), "the member's words stay as they are"
    assert len(refused.response.content) <= MESSAGE_LIMIT
    assert world.env.errors is not None


async def test_where_it_is_denied_nothing_is_drawn_until_the_rule_is_cleared(world_of: OpenWorld) -> None:
    async with world_of() as world:
        guild, ada = world.channel.guild, admin_of(world)
        category = guild.create_category("rooms")
        inside, outside = guild.create_text_channel("inside", category=category), world.channel
        await told(world, ada, "admin channels allow", channel=category)
        assert "seed 1" in await ask(world, channel=inside)
        refused = await ask(world, channel=outside)
        assert refused.startswith(
            "I may not be used in this channel. Ask me in the channels in the category **rooms**.\n"
        ), "nobody can go to a category"
        audit = await told(world, ada, "admin audit")
        assert "**channels allow** the channels in the category **rooms**: no rule → allow" in audit.content
        await told(world, ada, "admin channels deny", channel=inside)
        assert (await ask(world, channel=inside)).startswith("I may not be used in this channel")
        said = await told(world, ada, "admin channels clear", channel=inside)
        assert said.content == f"The rule for <#{inside.id}> is cleared."
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
    assert set(await channel_rules_in(world)) == {thread.id, world.channel.id}
    said = await told(world, ada, "admin channels clear", deleted=True)
    assert said.content == "There are no rules for deleted channels."


async def test_rules_that_are_there_or_not_there_are_said_so(world: World) -> None:
    ada, place = admin_of(world), world.channel
    mention = f"<#{place.id}>"
    said = await told(world, ada, "admin channels clear", channel=place)
    assert said.content == f"There is no rule for {mention}; /admin channels list shows all rules."
    await told(world, ada, "admin channels deny", channel=place)
    said = await told(world, ada, "admin channels deny", channel=place)
    assert said.content == f"The rule for {mention} is deny already; /admin channels list shows all of them."
    for options in ({}, {"channel": place, "deleted": True}):
        said = await told(world, ada, "admin channels clear", **options)
        assert said.content == "Give a channel, or `deleted:True` for all channels that were deleted."
    assert len(await audited(world)) == 1
