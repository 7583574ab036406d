"""``/owner``, for the people who run the bot: in one server only, and for the ids in ``BOT_OWNER_IDS``."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import replace
from functools import partial
from typing import Any, cast

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.admin.context import AdminContext, answer
from bot.commands.admin.pause import write_pause
from bot.commands.device_lines import device_lines
from bot.commands.parts import BotParts
from bot.commands.ping import latency_text
from bot.errors import Refusal
from bot.inert import cut, inert
from bot.jobs.admission import Admission
from bot.moderation.limit_ranges import ceiling_range
from bot.moderation.limit_texts import format_value
from bot.plurals import counted
from bot.requests.pricing import format_credits
from bot.store.admission import Terms
from bot.store.audit import Change
from bot.store.ceilings import drop_ceiling, write_ceiling
from bot.store.guild_settings import INSTANCE
from bot.store.health import Health, Server, health, servers
from bot.store.limits import CEILINGS, Ceiling
from bot.views.owner_lists import OwnerAuditPages, OwnerJobPages
from bot.views.text import MESSAGE_LIMIT
from zimage_engine.engine import Engine

_CONFIGURED = "configured"
_CHOICES = [
    app_commands.Choice(name=f"{ceiling.name}: {ceiling.meaning}", value=ceiling.name) for ceiling in CEILINGS.values()
]


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/owner`` to the operator's server; to none if the settings name none."""
    settings = parts.settings
    if settings.owner_guild_id is not None:
        owner = OwnerCommands(parts.admin, parts.engine)
        bot.tree.add_command(owner, guild=discord.Object(settings.owner_guild_id))
    bot.add_dynamic_items(OwnerAuditPages, OwnerJobPages)


class OwnerCommands(app_commands.Group):
    """The group. Answers are private, and changes are in the audit of no server."""

    def __init__(self, context: AdminContext, engine: Engine) -> None:
        super().__init__(
            name="owner",
            description="For whoever runs this bot",
            guild_only=True,
            allowed_contexts=app_commands.AppCommandContext(guild=True),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
            default_permissions=discord.Permissions(administrator=True),
        )
        self._context = context
        self._engine = engine

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        self._context.check_owner(interaction)
        return True

    @app_commands.command(
        name="pause", description="Generate nothing more anywhere until you resume; the queue is kept"
    )
    async def pause(self, interaction: discord.Interaction[Any]) -> None:
        if await self._change(interaction, partial(write_pause, guild_id=INSTANCE, paused=True)) is None:
            raise Refusal("I am paused already; use /owner resume to go on.")
        self._context.jobs.pause(INSTANCE)
        await answer(interaction, "Paused everywhere. What is being generated is finished; use /owner resume to go on.")

    @app_commands.command(name="resume", description="Generate again, after a pause or instead of a drain")
    async def resume(self, interaction: discord.Interaction[Any]) -> None:
        jobs = self._context.jobs
        resumed = await self._change(interaction, partial(write_pause, guild_id=INSTANCE, paused=False)) is not None
        if jobs.draining:
            jobs.undrain()
            await self._change(interaction, lambda _: Change("drain", "", "on", "off"))
        elif not resumed:
            raise Refusal("I am neither paused nor drained.")
        jobs.resume(INSTANCE)
        await answer(interaction, "Resumed. What waited comes first.")

    @app_commands.command(name="drain", description="Start nothing more, and keep what waits, to be restarted")
    async def drain(self, interaction: discord.Interaction[Any]) -> None:
        jobs = self._context.jobs
        if not jobs.draining:
            jobs.drain()
            await self._change(interaction, lambda _: Change("drain", "", "off", "on"))
        left = jobs.under_way
        text = (
            f"{counted(left, 'request')} still to finish; use /owner drain again for a new count"
            if left
            else "nothing is on the device or being posted: it is safe to stop the bot now"
        )
        await answer(interaction, f"I start nothing more; {text}. What waits is kept for a restart or /owner resume.")

    @app_commands.command(name="ceilings", description="See and change the limits that no server's admin can raise")
    @app_commands.describe(ceiling="Which one", value="A number, unlimited, or configured: what the settings say")
    @app_commands.choices(ceiling=_CHOICES)
    async def ceilings(
        self, interaction: discord.Interaction[Any], ceiling: str | None = None, value: str | None = None
    ) -> None:
        admission = self._context.jobs.admission
        if (ceiling is None) != (value is None):
            raise Refusal("Give a ceiling and its value, or neither to see them all.")
        if ceiling is not None and value is not None:
            name = cast("Ceiling", ceiling)
            configured = value.strip().lower() == _CONFIGURED
            number = (
                getattr(admission.configured, name) if configured else ceiling_range(name, admission.terms).parse(value)
            )
            change = partial(_set_ceiling, terms=admission.terms, name=name, value=number, configured=configured)
            await self._change(interaction, change)
            admission.terms = replace(admission.terms, **{name: number})  # type: ignore[arg-type]  # the names are its fields
        await answer(interaction, "\n".join(_ceiling_line(admission, name) for name in CEILINGS))

    @app_commands.command(name="servers", description="The servers the bot is in, and what they used in 24 hours")
    async def servers(self, interaction: discord.Interaction[Any]) -> None:
        guilds = list(self._context.client.guilds)
        ids = [guild.id for guild in guilds]
        used = await self._context.database.read(partial(servers, scope_ids=ids, now=int(time.time())))
        await answer(interaction, cut("\n".join(_server_lines(guilds, used)), MESSAGE_LIMIT))

    @app_commands.command(name="health", description="How the bot, the device and the queue are doing")
    async def health(self, interaction: discord.Interaction[Any]) -> None:
        found = await self._context.database.read(partial(health, now=int(time.time())))
        await answer(interaction, "\n".join(_health_lines(found, self._engine, self._context)))

    @app_commands.command(name="jobs", description="The requests that are open, and those that failed in 24 hours")
    async def jobs(self, interaction: discord.Interaction[Any]) -> None:
        await OwnerJobPages.show(interaction)

    @app_commands.command(name="audit", description="What was changed with /owner, the newest first")
    async def audit(self, interaction: discord.Interaction[Any]) -> None:
        await OwnerAuditPages.show(interaction)

    async def _change(self, interaction: discord.Interaction[Any], make: Any) -> Any:
        return await self._context.change(interaction, make, everywhere=True)


def _set_ceiling(
    connection: sqlite3.Connection, *, terms: Terms, name: Ceiling, value: int | None, configured: bool
) -> Change | None:
    before = getattr(terms, name)
    if configured:
        drop_ceiling(connection, name)
    else:
        write_ceiling(connection, name, value)
    if before == value:
        return None
    like = CEILINGS[name].unit_of
    return Change(f"ceilings {name}", "", format_value(like, before), format_value(like, value))


def _ceiling_line(admission: Admission, name: Ceiling) -> str:
    """Return a ceiling's value now, what the settings say if that differs, and its meaning."""
    ceiling = CEILINGS[name]
    value = format_value(ceiling.unit_of, getattr(admission.terms, name))
    configured = format_value(ceiling.unit_of, getattr(admission.configured, name))
    other = f" (configured: {configured})" if value != configured else ""
    return f"`{name}` **{value}**{other} {ceiling.meaning}"


def _server_lines(guilds: list[discord.Guild], used: dict[int, Server]) -> list[str]:
    """Return a line for each server, those with the most credits first."""
    nothing = Server(0, 0)
    order = sorted(guilds, key=lambda guild: used.get(guild.id, nothing).credits, reverse=True)
    lines = [f"**{counted(len(guilds), 'server')}**, credits and requests of the last 24 hours"]
    for guild in order:
        server = used.get(guild.id, nothing)
        lines.append(f"{format_credits(server.credits)} · {server.jobs} · {inert(guild.name, 60)} `{guild.id}`")
    return lines


def _health_lines(found: Health, engine: Engine, context: AdminContext) -> list[str]:
    stats = engine.stats()
    jobs = context.jobs
    taking = "draining: new requests are kept" if jobs.draining else "accepting requests"
    waits = f", the oldest for {found.oldest_wait} s" if found.oldest_wait is not None else ""
    paused = f" · {counted(found.paused_servers, 'server')} paused by admins" if found.paused_servers else ""
    return [
        f"**{stats.model}** on {stats.device}: {stats.state} · gateway {latency_text(context.client)}",
        *device_lines(stats.devices, engine.profiles, with_reasons=True),
        f"{taking}{' · paused everywhere' if jobs.paused_everywhere else ''}{paused}",
        f"Now: {_counts(found.open_jobs) or 'nothing'}{waits}",
        f"Engine: {stats.running} generating, {stats.waiting} waiting",
        f"Last 24 hours: {_counts(found.ended_jobs) or 'nothing'} · {found.device_seconds:.0f} s on the device",
        f"Database: {found.database_bytes / 1e6:.1f} MB",
        *(f"⚠️ {fault}" for fault in context.faults()),
    ]


def _counts(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
