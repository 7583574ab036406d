"""Attacks of blocked members, and of those in denied channels and paused servers, by commands that post no picture."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import discord
import pytest

from bot.moderation.serving import COMMANDS, COMPONENTS, Served, served
from bot.playground.world import World
from bot.store.guild_settings import INSTANCE
from bot.store.moderation import Block, write_block
from tests.helpers.admins import admin_of, told
from tests.helpers.dynamic_items import dynamic_items
from tests.helpers.forging import forged_form
from tests.helpers.pictures import PROMPT, drawn, photo
from tests.helpers.worlds import OpenWorld

REFUSED = {
    "blocked": "You are blocked here",
    "denied": "I may not be used in this channel.",
    "paused": "An admin of this server has paused me.",
}
ALWAYS = {"privacy info": {}, "help": {}, "quota": {}, "queue": {}}
NOT_ALWAYS: dict[str, dict[str, Any]] = {
    "imagine": {"prompt": PROMPT},
    "edit": {"prompt": PROMPT},
    "details": {"image": ("p.png", photo())},
    "tree": {},
    "cancel": {},
    "settings": {"aspect": "16:9"},
    "usage": {},
    "ping": {},
}


async def shut_out(world: World, how: str) -> Any:
    """Block the world's member, deny the channel, or pause the server. Returns the admin."""
    ada = admin_of(world)
    match how:
        case "blocked":
            await told(world, ada, "admin block", member=world.member)
        case "denied":
            await told(world, ada, "admin channels deny", channel=world.channel)
        case "paused":
            await told(world, ada, "admin pause")
    return ada


@pytest.mark.parametrize("how", REFUSED)
async def test_who_is_shut_out_keeps_four_commands_and_no_other(world: World, how: str) -> None:
    posted = await drawn(world, steps=1)
    ada = await shut_out(world, how)
    for name, options in ALWAYS.items():
        assert not (await told(world, world.member, name, **options)).content.startswith(REFUSED[how])
    for name, options in NOT_ALWAYS.items():
        assert (await told(world, world.member, name, **options)).content.startswith(REFUSED[how]), name
    for label in ("Edit", "Vary", "Upscale", "Again", "Remix", "More…"):
        refused = await world.member.click(posted, label=label)
        assert refused.response.content.startswith(REFUSED[how]), label
    right_click = await world.member.context_menu(world.channel, "Edit image", posted)
    assert right_click.response.content.startswith(REFUSED[how])
    form = await forged_form(world, world.member, world.channel, "zib:request:new", prompt=PROMPT)
    assert form.response.content.startswith(REFUSED[how])
    assert [message.id for message in world.channel.history(viewer=ada)][:1] == [posted.id]
    assert not [message for message in world.channel.history(viewer=ada)[1:] if message.attachments]
    undo = {"blocked": "admin unblock", "denied": "admin channels clear", "paused": "admin resume"}[how]
    about = {"blocked": {"member": world.member}, "denied": {"channel": world.channel}, "paused": {}}[how]
    await told(world, ada, undo, **about)
    assert not (await told(world, world.member, "ping")).content.startswith(REFUSED[how])


async def test_a_blocked_member_is_offered_nothing_while_they_type(world: World) -> None:
    await drawn(world, steps=1)
    assert await world.member.autocomplete(world.channel, "tree", "source", "")
    await shut_out(world, "blocked")
    assert await world.member.autocomplete(world.channel, "tree", "source", "") == []


async def test_an_admin_whom_the_operator_blocked_resumes_no_server(world: World) -> None:
    ada = admin_of(world)
    await told(world, ada, "admin pause")
    block = partial(write_block, guild_id=INSTANCE, block=Block(ada.id, None, None, 1))
    await world.env.bot.database.write(block)
    assert (await told(world, ada, "admin resume")).content.startswith(REFUSED["blocked"])


async def test_each_command_and_component_has_chosen(world_of: OpenWorld) -> None:
    async with world_of(owner_guild_id=1) as world:
        tree = world.env.bot.tree
        kinds = (None, discord.AppCommandType.user, discord.AppCommandType.message)
        here = [each for kind in kinds for each in tree.get_commands(**({"type": kind} if kind else {}))]
        names = {command.name for command in [*here, *tree.get_commands(guild=discord.Object(1))]}
    assert names == set(COMMANDS), "a new command has to say in bot/moderation/serving.py to whom it is served"
    patterns = [kind.__discord_ui_compiled_template__.pattern for kind in dynamic_items()]
    firsts = [re.match(r"zib:(?:\(\?P<what>([^)]*)\)|([a-z]+))", pattern) for pattern in patterns]
    words = {word for first in firsts if first is not None for word in (first[1] or first[2]).split("|")}
    assert words | {"modal", "request"} == set(COMPONENTS)


def test_what_is_not_in_the_table_is_served_to_the_fewest() -> None:
    assert served("new", None) is served(None, "zib:new:j1") is served(None, None) is Served.WHERE_ALLOWED
    always = {name for name, whom in COMMANDS.items() if whom is Served.ALWAYS}
    assert always == {"privacy", "help", "quota", "queue", "owner"}
