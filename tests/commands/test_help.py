"""``/help``: what it offers to whom, and the ids of the commands that it mentions."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import discord
import pytest
from discord import app_commands

from bot.commands.help import EXAMPLE, command_lines, help_text, in_messages
from bot.commands.owner import OwnerCommands
from bot.playground.world import World
from bot.requests.models import Models
from bot.requests.pricing import Prices, format_credits, price_rule
from bot.requests.spec import ImageOptions, build_spec
from bot.store.facts import read_fact
from bot.views.command_mentions import CommandMentions
from tests.helpers.admins import admin_of, told
from tests.helpers.worlds import OpenWorld, restart
from zimage_engine.catalog import PROFILES
from zimage_engine.profiles import ModelProfile
from zimage_engine.prompt_tokens import PromptTokens
from zimage_engine.weights import complete_profile

EVERY = [
    complete_profile(profile) if name == "demo" else replace(profile, size_multiple=16)
    for name, profile in PROFILES.items()
]
every_profile = pytest.mark.parametrize("profile", EVERY, ids=lambda profile: profile.name)


def as_read(text: str) -> list[str]:
    """The lines as Discord shows them: of a mention of a command, only its name."""
    return re.sub(r"</([\w ]+):\d+>", r"/\1", text).splitlines()


@every_profile
@pytest.mark.parametrize("max_count", [1, 4])
def test_only_what_the_profile_and_the_settings_offer_is_named(profile: ModelProfile, max_count: int) -> None:
    text = help_text(Models((profile,)), max_count)
    for name in ("small", "medium", "large"):
        assert (f"`{name}`" in text) == (name in profile.scales)
        assert (name in Models((profile,)).options_in("imagine", max_count)["size"]) == (name in profile.scales)
    assert ("--guidance" in text) == (profile.guidance.high > 0)
    assert ("--no " in text) == profile.negative_prompt
    assert ("`count`" in text) == ("--count" in text) == (max_count > 1)
    assert ("make it night" in text) == (profile.editing == "instruction")
    assert not re.search(r"`/edit\b", text), "a client drops the reply of a typed command"


@every_profile
def test_the_price_rule_is_what_is_charged(profile: ModelProfile) -> None:
    def price(**changes: object) -> str:
        return format_credits(prices.quote(replace(spec, **changes), 1, edit=False))  # type: ignore[arg-type]

    prices = Prices(Models((profile,)), PromptTokens())
    spec, _ = build_spec(ImageOptions(EXAMPLE), profile, max_count=1)
    usual = "1 credit" if profile.guidance.default == 0 else f"{price()} credits"
    without = "" if profile.guidance.default == 0 else f", {price(guidance_scale=0.0)} with guidance 0"
    large = profile.size_for(Fraction(1), "large")
    assert price_rule(Models((profile,))) == (
        f"{usual} = one picture at the usual size and steps{without}. "
        f"Twice the steps: {price(steps=2 * spec.steps)}, size large: {price(width=large.width, height=large.height)}."
    )


async def test_the_example_comes_first_and_all_of_it_fits_a_phone(world: World) -> None:
    ada = admin_of(world)
    shown = await helped(world, ada)
    lines = as_read(shown)
    assert lines[:3] == ["```", f"/imagine prompt:{EXAMPLE}", "```"]
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 140
    tree = world.env.bot.tree
    mentions = CommandMentions()
    mentions.update({command.name: 10**19 for command in tree.get_commands()})
    for profile in EVERY:
        known = tree.get_commands()
        members = command_lines(known, mentions, discord.Permissions.none(), direct=False)
        assert len(in_messages(help_text(Models((profile,)), 4, members, me=f"<@{10**19}>"))) == 1
        owner = OwnerCommands(world.env.bot.parts.admin, world.env.bot.engine)
        every = command_lines([*known, owner], mentions, discord.Permissions.all(), direct=False)
        both = in_messages(help_text(Models((profile,)), 4, every, me=f"<@{10**19}>"))
        assert all(len(text) <= 2000 for text in both)
        assert "…" not in both[-1], "nothing is cut"


async def helped(world: World, who: Any, place: Any = None) -> str:
    """All that ``/help`` says."""
    answered = await who.slash(place or world.channel, "help")
    said = [answered.response.message, *answered.followups]
    assert answered.ephemeral
    return "\n".join(each.content for each in said)


def mentioned(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in re.findall(r"</([\w ]+):(\d+)>", text)}


async def test_every_registered_command_is_there_with_its_id(world: World) -> None:
    registered = {command.name: command.id for command in await world.env.bot.tree.fetch_commands()}
    shown = mentioned(await helped(world, admin_of(world)))
    tree = world.env.bot.tree
    slash = tree.get_commands(type=discord.AppCommandType.chat_input)
    assert {name.split()[0] for name in shown} == {command.name for command in slash}
    for name, number in shown.items():
        assert registered[name.split()[0]] == number
        command = tree.get_command(name.split()[0])
        for part in name.split()[1:]:
            assert isinstance(command, app_commands.Group)
            command = command.get_command(part)
        assert isinstance(command, app_commands.Command), f"/{name} cannot be run"


async def test_every_menu_is_there(world: World) -> None:
    rights = discord.Permissions(manage_guild=True, manage_messages=True)
    boss = world.channel.guild.create_role("boss and moderator", permissions=rights)
    ada = world.channel.guild.add_member(world.env.create_user("ada"), roles=[boss])
    text = await helped(world, ada)
    kinds = (discord.AppCommandType.message, discord.AppCommandType.user)
    menus = [menu.name for kind in kinds for menu in world.env.bot.tree.get_commands(type=kind)]
    assert menus
    assert all(f"**{name}**" in text for name in menus)


def test_a_command_without_a_line_of_its_own_appears_with_its_description() -> None:
    @app_commands.command(name="juggle", description="Three balls")
    async def juggle(interaction: discord.Interaction[Any]) -> None: ...

    mentions = CommandMentions()
    nobody = discord.Permissions.none()
    assert command_lines([juggle], mentions, nobody, direct=True) == ["**/juggle**: Three balls"]
    mentions.update({"juggle": 7})
    assert command_lines([juggle], mentions, nobody, direct=True) == ["</juggle:7>: Three balls"]


async def test_members_are_told_of_their_own_commands_alone(world: World) -> None:
    here = await helped(world, world.member)
    assert "admin" not in here
    assert "**Moderate**" not in here
    answered = await world.env.create_user("deo").slash("help")
    assert "admin" not in answered.response.content
    assert "</imagine:" in answered.response.content


async def test_the_ids_are_known_after_a_restart_that_sends_nothing(world: World) -> None:
    before = mentioned(await helped(world, world.member))
    await restart(world)
    assert len([request for request in world.env.http_requests if request.method == "PUT"]) == 1
    assert mentioned(await helped(world, world.member)) == before


async def test_a_database_without_ids_has_the_commands_sent_once_more(world: World) -> None:
    def forget(connection: Any) -> None:
        connection.execute("DELETE FROM facts WHERE name = 'command_ids'")

    before = mentioned(await helped(world, world.member))
    await world.env.bot.database.write(forget)
    await restart(world)
    assert mentioned(await helped(world, world.member)) == before
    assert await read_fact(world.env.bot.database, "command_ids") is not None


async def test_the_operator_is_told_of_their_command_in_their_server_alone(world_of: OpenWorld) -> None:
    async with world_of() as world:
        ada = admin_of(world)
        guild_id = world.channel.guild.id
        await restart(world, owner_guild_id=guild_id, bot_owner_ids=frozenset({ada.id}))
        assert any(name.startswith("owner ") for name in mentioned(await helped(world, ada))) is False
        boss = world.channel.guild.create_role("root", permissions=discord.Permissions.all())
        root = world.channel.guild.add_member(world.env.create_user("root"), roles=[boss])
        await restart(world, bot_owner_ids=frozenset({root.id}))
        assert any(name.startswith("owner ") for name in mentioned(await helped(world, root)))
        other = world.env.create_guild(name="Elsewhere").create_text_channel("there")
        root_there = admin_of(world, other.guild, "rio")
        assert "owner" not in await helped(world, root_there, other)


async def test_what_a_member_may_not_ask_for_is_not_named(world: World) -> None:
    ada = admin_of(world)
    for limit, value in (("max_count", "1"), ("max_pixels", "256x256")):
        await told(world, ada, "admin limits set", target=world.member, limit=limit, value=value)
    text = await helped(world, world.member)
    assert "count" not in text
    assert "large" not in text
    assert "`medium`" in text
