"""What a member types into the message box, and what Discord's client makes of it."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from bot.playground.world import World


async def types(world: World, text: str, reply_to: discord.Message | None = None, *, member: Any = None) -> Any:
    """Type a text and send it, as a reply if ``reply_to`` is given.

    The client turns a text that begins with the name of a slash command into that command, and drops the reply; what
    follows the name becomes its first option. A command whose required options are missing is not sent: returns None.
    """
    who = member or world.member
    command = _command_of(world, text, who.available_commands(world.channel))
    if command is None:
        return await who.send(world.channel, text, reply_to=reply_to)
    rest = text.removeprefix(f"/{command.qualified_name}").strip()
    texts = [option for option in command.parameters if option.type is discord.AppCommandOptionType.string]
    options = {texts[0].name: rest} if texts and rest else {}
    if any(option.required and option.name not in options for option in command.parameters):
        return None
    return await who.slash(world.channel, command.qualified_name, **options)


def _command_of(world: World, text: str, names: tuple[str, ...]) -> app_commands.Command[Any, ..., Any] | None:
    """Return the slash command whose name the text begins with, the one with the longest name if there are several."""
    begun = [name for name in names if text == f"/{name}" or text.startswith(f"/{name} ")]
    if not begun:
        return None
    name = max(begun, key=len)
    found = world.env.bot.tree.get_command(name.split()[0])
    for part in name.split()[1:]:
        assert isinstance(found, app_commands.Group)
        found = found.get_command(part)
    assert isinstance(found, app_commands.Command)
    return found
