"""``/admin pause`` and ``/admin resume``: no new job of the server is started while it is paused."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Any

import discord
from discord import app_commands

from bot.commands.admin.context import answer, guild_of
from bot.commands.parts import BotParts
from bot.errors import Refusal
from bot.store.audit import Change
from bot.store.moderation import set_paused


def add_to(admin: app_commands.Group, parts: BotParts) -> None:
    context = parts.admin

    @admin.command(name="pause", description="Generate nothing more in this server until you resume; the queue is kept")
    async def pause(interaction: discord.Interaction[Any]) -> None:
        guild_id = guild_of(interaction)
        if await context.change(interaction, partial(write_pause, guild_id=guild_id, paused=True)) is None:
            raise Refusal("I am paused already; use /admin resume to go on.")
        context.jobs.pause(guild_id)
        await answer(
            interaction,
            "Paused. What is being generated is finished, the queue is kept, and whoever asks is told. Use /admin "
            "resume to go on.",
        )

    @admin.command(name="resume", description="Generate again in this server")
    async def resume(interaction: discord.Interaction[Any]) -> None:
        guild_id = guild_of(interaction)
        if await context.change(interaction, partial(write_pause, guild_id=guild_id, paused=False)) is None:
            raise Refusal("I am not paused in this server.")
        context.jobs.resume(guild_id)
        await answer(interaction, "Resumed. What waited comes first.")


def write_pause(connection: sqlite3.Connection, *, guild_id: int, paused: bool) -> Change | None:
    """Pause or resume a server, or everything with ``INSTANCE``. Returns None if it was paused or not already."""
    if not set_paused(connection, guild_id, paused=paused):
        return None
    states = ("on", "off") if paused else ("off", "on")
    return Change("pause" if paused else "resume", "", f"generating {states[0]}", f"generating {states[1]}")
