"""``/admin settings``: shows a server's settings, each with its value, and changes them."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import discord
from discord import app_commands

from bot.commands.admin.context import AdminContext, answer, guild_of
from bot.commands.parts import BotParts
from bot.errors import Refusal
from bot.inert import cut, in_quotes
from bot.store.audit import Change
from bot.store.guild_settings import (
    ADMIN_ROLE,
    GUILD_LINKS,
    GUILD_SETTINGS,
    LOG_CHANNEL,
    GuildSetting,
    drop_setting,
    find_setting,
    read_setting,
    read_settings,
    write_setting,
)

_BY_NAME = {setting.name: setting for setting in GUILD_SETTINGS}
_LINKS = {link.name: link for link in GUILD_LINKS}


def add_to(admin: app_commands.Group, parts: BotParts) -> None:
    context = parts.admin

    @admin.command(name="settings", description="See and change this server's settings")
    @app_commands.describe(
        spoiler="on: pictures are hidden until somebody clicks",
        replies_as_edits="on: every reply to one of my pictures is an edit",
        edit_images_of="Whose pictures members may edit",
        age_restricted_only="on: I may be used in age-restricted channels only",
        private_pictures="off: every picture is public",
        admin_role="Members with this role may press the admins' buttons, as those with Manage Server may",
        log_channel="Where I write a line for each change",
        clear="Remove the admin role or the log channel",
    )
    async def settings(
        interaction: discord.Interaction[Any],
        spoiler: str | None = None,
        replies_as_edits: str | None = None,
        edit_images_of: str | None = None,
        age_restricted_only: str | None = None,
        private_pictures: str | None = None,
        admin_role: discord.Role | None = None,
        log_channel: discord.TextChannel | None = None,
        clear: Literal["admin_role", "log_channel"] | None = None,
    ) -> None:
        guild_id = guild_of(interaction)
        given = (spoiler, replies_as_edits, edit_images_of, age_restricted_only, private_pictures)
        wanted: dict[str, str | None] = {
            setting.name: _checked(setting, value)
            for setting, value in zip(GUILD_SETTINGS, given, strict=True)
            if value
        }
        if admin_role is not None and admin_role.is_default():
            raise Refusal("With @everyone, every member would be an admin: choose another role.")
        if admin_role is not None:
            wanted[ADMIN_ROLE] = str(admin_role.id)
        if log_channel is not None:
            check_log_channel(log_channel)
            wanted[LOG_CHANNEL] = str(log_channel.id)
        if clear is not None:
            wanted[clear] = None
        for name, value in wanted.items():
            await context.change(interaction, partial(write_guild_setting, guild_id=guild_id, name=name, value=value))
        values = await read_settings(context.database, guild_id)
        await answer(interaction, "\n".join(_lines(values)))

    for setting in GUILD_SETTINGS:
        settings.autocomplete(setting.name)(_offer(setting, context))


def _offer(setting: GuildSetting, context: AdminContext) -> Any:
    """Return an autocomplete that offers the values with their meanings and marks the current one."""

    async def offer(interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        now = await read_setting(context.database, interaction.guild_id, setting.name) or setting.default
        named = [
            (f"{value}{' (now)' if value == now else ''}: {meaning}", value)
            for value, meaning in setting.meanings.items()
        ]
        return [app_commands.Choice(name=cut(name, 100), value=value) for name, value in named if typed.lower() in name]

    return offer


def _checked(setting: GuildSetting, value: str) -> str:
    value = value.strip().lower()
    if value not in setting.meanings:
        raise Refusal(f"{setting.name} is one of {', '.join(setting.meanings)}, not {in_quotes(value, 20)}.")
    return value


def check_log_channel(channel: discord.TextChannel) -> None:
    """Raise :class:`Refusal` if the bot cannot write in a channel."""
    granted = channel.permissions_for(channel.guild.me)
    if not (granted.view_channel and granted.send_messages):
        raise Refusal(f"I cannot write in {channel.mention}: give me View Channel and Send Messages there first.")


def write_guild_setting(connection: Any, *, guild_id: int, name: str, value: str | None) -> Change | None:
    before = find_setting(connection, guild_id, name)
    if _shown(name, before) == _shown(name, value):
        return None
    if value is None:
        drop_setting(connection, guild_id, name)
    else:
        write_setting(connection, guild_id, name, value)
    return Change("settings", name, _shown(name, before), _shown(name, value))


def _lines(values: dict[str, str]) -> list[str]:
    lines = []
    for setting in GUILD_SETTINGS:
        value = values.get(setting.name, setting.default)
        lines.append(f"**{setting.name}**: {value}, {setting.meanings[value]}.")
    for link in GUILD_LINKS:
        shown = _shown(link.name, values[link.name]) if link.name in values else link.unset
        lines.append(f"**{link.name}**: {shown}.")
    return lines


def _shown(name: str, value: str | None) -> str:
    if name in _LINKS:
        return f"<{_LINKS[name].mark}{value}>" if value else "none"
    return value or _BY_NAME[name].default
