"""The discord.py client: it starts everything behind Discord, and adds the commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import discord
import structlog
from discord import app_commands
from discord.ext import commands, tasks

from bot.command_sync import sync_commands
from bot.commands import (
    details,
    drafts,
    edit,
    edit_menu,
    edit_requests,
    first_contact,
    imagine,
    member_settings,
    owner,
    ping,
    privacy,
    questions,
    queue,
    quota,
    removed_places,
    replies,
    result_actions,
    submission,
    tree,
    undelivered,
    usage,
    welcome,
)
from bot.commands import help as help_command
from bot.commands.admin import group as admin
from bot.commands.invocation import InteractionInvocation
from bot.commands.parts import BotParts
from bot.errors import NotHere, Refusal, Restarting
from bot.jobs.delivery_loop import CHECK_SECONDS
from bot.jobs.service import JobService
from bot.moderation.serving import served
from bot.monitoring.monitor import CHECK_SECONDS as MONITOR_SECONDS
from bot.monitoring.monitor import Monitor, discord_trace
from bot.presence import LOADING, PRESENCE_SECONDS, Presence, custom_status
from bot.received_text import repair_events
from bot.services import Services
from bot.settings import Settings
from bot.store.database import Database
from bot.views.errors import answer_error
from bot.views.job_cards import JobCards
from bot.views.outbox import DiscordOutbox
from bot.views.privacy import is_about_privacy
from bot.wiring import build_parts
from zimage_engine.engine import Engine
from zimage_engine.types import EngineError

log = structlog.get_logger(__name__)

_ADD_TO: tuple[Callable[[commands.AutoShardedBot, BotParts], None], ...] = (
    imagine.add_to,
    help_command.add_to,
    ping.add_to,
    queue.add_to,
    quota.add_to,
    usage.add_to,
    privacy.add_to,
    member_settings.add_to,
    edit.add_to,
    details.add_to,
    tree.add_to,
    edit_menu.add_to,
    edit_requests.add_to,
    replies.add_to,
    first_contact.add_to,
    admin.add_to,
    owner.add_to,
    submission.add_to,
    drafts.add_to,
    undelivered.add_to,
    questions.add_to,
    result_actions.add_to,
    welcome.add_to,
    removed_places.add_to,
)
"""What adds commands, listeners and buttons, in the order in which Discord is told of the commands."""


class Tree(app_commands.CommandTree["ZImageBot"]):
    """The command tree with the one error handler, and the check for allowed servers."""

    async def on_error(self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError, /) -> None:
        await self.client.answer_error(interaction, error)

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        try:
            await self._check(interaction)
        except Refusal as refusal:
            if interaction.type is not discord.InteractionType.autocomplete:
                await self.client.answer_error(interaction, refusal)
            return False
        return True

    async def _check(self, interaction: discord.Interaction[Any]) -> None:
        """Raise :class:`Refusal` if a command, button or form is not served to its member here and now."""
        if self.client.set_up and self.client.jobs.closed:
            raise Restarting
        allowed = self.client.settings.allowed_guilds
        if allowed and interaction.guild_id not in allowed and not is_about_privacy(interaction):
            raise NotHere("This bot serves other servers only; ask its operator to add this one.")
        if self.client.set_up:
            data: Any = interaction.data or {}
            asked = served(data.get("name"), data.get("custom_id"))
            await self.client.jobs.admission.check_served(asked, InteractionInvocation(interaction).requester)


class ZImageBot(commands.AutoShardedBot):
    """The whole program as one client: connecting starts it, closing ends it."""

    def __init__(self, settings: Settings, services: Services) -> None:
        # Replies to the bot and mentions arrive without the privileged message-content intent.
        intents = discord.Intents(guilds=True, messages=True, message_content=settings.message_content_intent)
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            intents=intents,
            tree_cls=Tree,
            allowed_mentions=discord.AllowedMentions.none(),
            allowed_contexts=app_commands.AppCommandContext(
                guild=True, dm_channel=True, private_channel=settings.user_install
            ),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=settings.user_install),
            shard_count=settings.shards,
            http_trace=discord_trace(),
            activity=custom_status(LOADING),
            status=discord.Status.idle,
        )
        repair_events(self._connection.parsers)
        self.settings = settings
        self.services = services
        self._parts: BotParts | None = None
        self._presence: Presence | None = None
        self.monitor: Monitor | None = None
        self._closing = False
        self._ignores_events = False
        self._set_up = asyncio.Event()
        self._delivery_checks = tasks.loop(seconds=CHECK_SECONDS)(self._check_deliveries)
        self._alerts = tasks.loop(seconds=MONITOR_SECONDS)(self._check_alerts)
        self._presence_updates = tasks.loop(seconds=PRESENCE_SECONDS)(self._update_presence)

    @property
    def parts(self) -> BotParts:
        """What commands and views use. Built when the services have started."""
        assert self._parts is not None, "the client has not been set up"
        return self._parts

    @property
    def database(self) -> Database:
        return self.services.database

    @property
    def engine(self) -> Engine:
        return self.services.engine

    @property
    def jobs(self) -> JobService:
        return self.services.jobs

    @property
    def set_up(self) -> bool:
        """True once everything behind Discord has been started."""
        return self._set_up.is_set()

    async def answer_error(self, interaction: discord.Interaction[Any], error: Exception) -> None:
        """Tell a member of an error: that of any command, button or modal."""
        await answer_error(interaction, error)

    async def model_ready(self) -> None:
        """Wait until the model is loaded. Raises :class:`EngineError` if it cannot be."""
        await self._set_up.wait()
        await self.engine.ready()

    async def device_lost(self) -> EngineError:
        """Wait until the device is lost for good, which may be never. Returns the error."""
        await self._set_up.wait()
        return await self.engine.lost()

    async def setup_hook(self) -> None:
        """Start everything behind Discord, then add the commands and tell Discord of them."""
        cards = JobCards(self, self.settings.progress_interval)
        await self.services.start(DiscordOutbox(self, cards))
        self.monitor = Monitor(self, self.services, self.settings)
        await self.monitor.start()
        self._parts = build_parts(self, self.services, self.settings, cards)
        self._parts.admin.faults = lambda: self.monitor.alert_places.faults if self.monitor is not None else []
        self._presence = Presence(self, self.engine, self.jobs)
        for add_to in _ADD_TO:
            add_to(self, self._parts)
        await sync_commands(self.tree, self.database, self.settings.owner_guild_id, self._parts.mentions)
        self._set_up.set()

    async def close(self) -> None:
        """Disconnect last: jobs that end now can still tell their owners."""
        try:
            if not self._closing:
                self._closing = True
                self._delivery_checks.cancel()
                self._presence_updates.cancel()
                self._alerts.cancel()
                if self.monitor is not None:
                    await self.monitor.close()
                await self.services.suspend()
                self._ignores_events = True
                await self.services.stop()
                if self._parts is not None:
                    self._parts.charts.close()
        finally:
            await super().close()

    def dispatch(self, event_name: str, /, *args: Any, **kwargs: Any) -> None:
        """Handle no more events once the database is about to be closed; interactions are answered all the same."""
        if not self._ignores_events:
            super().dispatch(event_name, *args, **kwargs)

    async def on_ready(self) -> None:
        log.info("online", user=str(self.user), guilds=len(self.guilds))
        self.jobs.deliveries.start()
        if self.monitor is not None:
            self.monitor.supervisor.ready()
        for loop in (self._delivery_checks, self._presence_updates, self._alerts):
            if not loop.is_running() and not self._closing:
                loop.start()

    async def _check_deliveries(self) -> None:
        await self.jobs.check()
        await self.services.check()

    async def _check_alerts(self) -> None:
        assert self.monitor is not None, "set up before the client is ready"
        await self.monitor.check()

    async def _update_presence(self) -> None:
        assert self._presence is not None, "set up before the client is ready"
        await self._presence.update()

    async def on_message(self, message: discord.Message, /) -> None:
        """Do nothing: discord.py would look for a text command in every message. Replies have a listener."""
