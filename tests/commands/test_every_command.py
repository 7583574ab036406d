"""Every command once, as everybody who may and may not use it: admins, moderators, members, in direct messages."""

from __future__ import annotations

from typing import Any

import discord
import pytest
import simcord

from bot.playground.world import World
from bot.requests.parameters import encode_picture
from bot.requests.spec import ImageOptions, build_spec
from tests.helpers.admins import admin_of
from tests.helpers.pictures import CHANGED, PROMPT, drawn
from tests.helpers.worlds import OpenWorld
from zimage_engine.catalog import find_profile
from zimage_engine.types import RawImage
from zimage_engine.weights import complete_profile

SPEC, _ = build_spec(ImageOptions(PROMPT, seed=3), complete_profile(find_profile("demo")), max_count=1)
DRAWN = encode_picture(RawImage(256, 256, bytes(3 * 256 * 256)), SPEC)
MEMBERS = {
    "imagine": {"prompt": PROMPT},
    "edit": {"prompt": CHANGED, "image": ("drawn.png", DRAWN)},
    "details": {"image": ("drawn.png", DRAWN)},
    "tree": {},
    "help": {},
    "ping": {},
    "queue": {},
    "cancel": {},
    "quota": {},
    "usage": {},
    "settings": {"aspect": "16:9"},
    "privacy info": {},
    "privacy export": {},
    "privacy delete": {},
}
ADMINS: dict[str, dict[str, Any]] = {
    "admin setup": {},
    "admin limits set": {"target": "@member", "limit": "max_count", "value": "2", "for": "7d"},
    "admin limits clear": {"target": "@member"},
    "admin limits show": {},
    "admin grant": {"member": "@member", "credits": 5.0, "reason": "a prize"},
    "admin reset": {"member": "@member"},
    "admin block": {"member": "@member", "for": "1h", "reason": "noise"},
    "admin blocked": {},
    "admin unblock": {"member": "@member"},
    "admin channels allow": {"channel": "@channel"},
    "admin channels deny": {"channel": "@channel"},
    "admin channels list": {},
    "admin channels clear": {"channel": "@channel"},
    "admin words add": {"word": "goblin"},
    "admin words list": {},
    "admin words remove": {"word": "goblin"},
    "admin usage": {},
    "admin pause": {},
    "admin resume": {},
    "admin settings": {"spoiler": "on"},
    "admin audit": {},
}
PUBLIC = ("imagine", "edit")


def given(world: World, options: dict[str, Any]) -> dict[str, Any]:
    handles = {"@member": world.member, "@channel": world.channel}
    return {name: handles.get(value, value) if isinstance(value, str) else value for name, value in options.items()}


def names(world: World) -> set[str]:
    found = set()
    for command in world.env.bot.tree.get_commands(type=discord.AppCommandType.chat_input):
        nested = command.walk_commands() if isinstance(command, discord.app_commands.Group) else [command]
        found |= {each.qualified_name for each in nested if isinstance(each, discord.app_commands.Command)}
    return found


async def use(world: World, who: Any, command: str, options: dict[str, Any]) -> str:
    answered = await who.slash(world.channel, command, **given(world, options))
    assert answered.ephemeral == (command not in PUBLIC), command
    assert world.env.errors == [], f"{command}: {world.env.errors}"
    await world.env.advance_time(3)  # some commands have a pause between two
    said = answered.followups[-1] if answered.followups else answered.response
    return said.content if said is not None else ""


async def test_every_command_works_for_who_may_use_it(world: World) -> None:
    assert set(MEMBERS) | set(ADMINS) == names(world), "a command is missing from this test"
    await drawn(world)
    ada = admin_of(world)
    for command, options in (MEMBERS | ADMINS).items():
        said = await use(world, world.member if command in MEMBERS else ada, command, options)
        assert "went wrong" not in said
        assert "@everyone" not in said


async def test_members_and_moderators_have_no_commands_of_admins(world: World) -> None:
    guild = world.channel.guild
    moderators = guild.create_role("mods", permissions=discord.Permissions(manage_messages=True, kick_members=True))
    moderator = guild.add_member(world.env.create_user("mo"), roles=[moderators])
    for who in (world.member, moderator):
        seen = set(who.available_commands(world.channel))
        assert set(MEMBERS) <= seen
        assert not {name for name in seen if name.startswith(("admin", "owner"))}
        for command, options in ADMINS.items():
            with pytest.raises(simcord.SetupError, match="not visible"):
                await who.slash(world.channel, command, **given(world, options))


async def test_a_server_can_open_admin_to_a_role_and_close_imagine_to_another(world: World) -> None:
    guild = world.channel.guild
    helpers, muted = guild.create_role("helpers"), guild.create_role("muted")
    helper = guild.add_member(world.env.create_user("hal"), roles=[helpers])
    quiet = guild.add_member(world.env.create_user("shh"), roles=[muted])
    commands = {known.name: known for known in await world.env.bot.tree.fetch_commands()}
    guild.set_command_permissions(commands["admin"], {helpers: True})
    guild.set_command_permissions(commands["imagine"], {muted: False})
    for command, options in ADMINS.items():
        if command not in ("admin limits clear", "admin reset"):
            await use(world, helper, command, options)
    with pytest.raises(simcord.SetupError):
        await quiet.slash(world.channel, "imagine", prompt=PROMPT)


async def test_direct_messages_have_the_members_commands_alone(world_of: OpenWorld) -> None:
    async with world_of() as world:
        user = world.env.create_user("deo")
        seen = set(user.available_commands())
        assert set(MEMBERS) <= seen
        assert not {name for name in seen if name.startswith(("admin", "owner"))}
        for command, options in MEMBERS.items():
            answered = await user.slash(command, **options)
            said = answered.followups[-1] if answered.followups else answered.response
            assert "went wrong" not in (said.content if said is not None else ""), command
            assert world.env.errors == [], command
            await world.env.advance_time(3)
