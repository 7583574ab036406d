"""``/admin settings``: what holds in a server, each with its value, and changed one by one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import discord
from discord import app_commands

from bot.commands.admin.context import ADMIN_ROLE, LOG_CHANNEL, AdminContext, answer, guild_of
from bot.commands.input_images import EDITABLE
from bot.commands.replies import EVERY_REPLY
from bot.errors import Refusal
from bot.jobs.admission import SPOILER
from bot.store.audit import Change
from bot.store.guild_settings import drop_setting, read_setting, read_settings, write_setting
from bot.store.moderation import AGE_RESTRICTED_ONLY, setting


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting with a few values; ``meanings`` by value, the default first."""

    name: str
    meanings: dict[str, str]

    @property
    def default(self) -> str:
        return next(iter(self.meanings))


CHOICES = (
    Choice(SPOILER, {"off": "pictures are shown", "on": "pictures are hidden until somebody clicks"}),
    Choice(
        EVERY_REPLY,
        {
            "off": "replies are edits where they start with /edit, have a flag or mention me",
            "on": "every reply to one of my pictures is an edit",
        },
    ),
    Choice(
        EDITABLE,
        {
            "all": "everybody's pictures can be edited",
            "results": "everything that I drew can be edited",
            "own": "members edit their own pictures only",
        },
    ),
    Choice(
        AGE_RESTRICTED_ONLY,
        {"off": "I may be used in all channels", "on": "I may be used in age-restricted channels only"},
    ),
)
_LINKS = {ADMIN_ROLE: "nobody besides Manage Server", LOG_CHANNEL: "changes are told nowhere but in /admin audit"}


def add_to(admin: app_commands.Group, context: AdminContext) -> None:
    @admin.command(name="settings", description="See and change what holds in this server")
    @app_commands.describe(
        spoiler="on: pictures are hidden until somebody clicks",
        replies_as_edits="on: every reply to one of my pictures is an edit",
        edit_images_of="Whose pictures members may edit",
        age_restricted_only="on: I may be used in age-restricted channels only",
        admin_role="Members with this role may press the admins' buttons, as those with Manage Server may",
        log_channel="Where I write a line for each change",
        clear="Take the admin role or the log channel away",
    )
    async def settings(
        interaction: discord.Interaction[Any],
        spoiler: str | None = None,
        replies_as_edits: str | None = None,
        edit_images_of: str | None = None,
        age_restricted_only: str | None = None,
        admin_role: discord.Role | None = None,
        log_channel: discord.TextChannel | None = None,
        clear: Literal["admin_role", "log_channel"] | None = None,
    ) -> None:
        guild_id = guild_of(interaction)
        given = (spoiler, replies_as_edits, edit_images_of, age_restricted_only)
        wanted: dict[str, str | None] = {
            choice.name: _checked(choice, value) for choice, value in zip(CHOICES, given, strict=True) if value
        }
        if admin_role is not None and admin_role.is_default():
            raise Refusal("@everyone would be admins then; take a role of some members.")
        if admin_role is not None:
            wanted[ADMIN_ROLE] = str(admin_role.id)
        if log_channel is not None:
            _check_log_channel(log_channel)
            wanted[LOG_CHANNEL] = str(log_channel.id)
        if clear is not None:
            wanted[clear] = None
        for name, value in wanted.items():
            await context.change(interaction, partial(_write, guild_id=guild_id, name=name, value=value))
        values = await read_settings(context.database, guild_id)
        await answer(interaction, "\n".join(_lines(values)))

    for choice in CHOICES:
        settings.autocomplete(choice.name)(_offer(choice, context))


def _offer(choice: Choice, context: AdminContext) -> Any:
    """The values with their meaning, and which of them holds now."""

    async def offer(interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        now = await read_setting(context.database, interaction.guild_id, choice.name) or choice.default
        named = [
            (f"{value}{' (now)' if value == now else ''}: {meaning}", value)
            for value, meaning in choice.meanings.items()
        ]
        return [app_commands.Choice(name=name[:100], value=value) for name, value in named if typed.lower() in name]

    return offer


def _checked(choice: Choice, value: str) -> str:
    value = value.strip().lower()
    if value not in choice.meanings:
        raise Refusal(f"{choice.name} is one of {', '.join(choice.meanings)}, not “{value[:20]}”.")
    return value


def _check_log_channel(channel: discord.TextChannel) -> None:
    granted = channel.permissions_for(channel.guild.me)
    if not (granted.view_channel and granted.send_messages):
        raise Refusal(f"I cannot write in {channel.mention}: give me View Channel and Send Messages there first.")


def _write(connection: Any, *, guild_id: int, name: str, value: str | None) -> Change | None:
    before = setting(connection, guild_id, name)
    if _shown(name, before) == _shown(name, value):
        return None
    if value is None:
        drop_setting(connection, guild_id, name)
    else:
        write_setting(connection, guild_id, name, value)
    return Change("settings", name, _shown(name, before), _shown(name, value))


def _lines(values: dict[str, str]) -> list[str]:
    lines = []
    for choice in CHOICES:
        value = values.get(choice.name, choice.default)
        lines.append(f"**{choice.name}**: {value}, {choice.meanings[value]}.")
    for name, none in _LINKS.items():
        lines.append(f"**{name}**: {_shown(name, values.get(name)) if name in values else none}.")
    return lines


def _shown(name: str, value: str | None) -> str:
    if name in _LINKS:
        mark = "@&" if name == ADMIN_ROLE else "#"
        return f"<{mark}{value}>" if value else "none"
    choice = next(choice for choice in CHOICES if choice.name == name)
    return value or choice.default
