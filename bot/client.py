"""The discord.py client: what it listens to, which commands Discord knows, and where errors go."""

from __future__ import annotations

import asyncio
from typing import Any

import discord
import structlog
from discord import app_commands
from discord.ext import commands

from bot.command_sync import sync_commands
from bot.commands.admin.context import AdminContext
from bot.commands.admin.group import admin_group
from bot.commands.details import details_command
from bot.commands.edit import edit_command
from bot.commands.edit_menu import EditMenu
from bot.commands.gallery import Gallery
from bot.commands.help import InfoCog
from bot.commands.imagine import imagine_command
from bot.commands.input_images import InputImages
from bot.commands.member_settings import settings_command
from bot.commands.owner import OwnerCommands
from bot.commands.privacy import PrivacyActions, privacy_group
from bot.commands.questions import Questions
from bot.commands.quota import QuotaCog
from bot.commands.replies import ReplyCog
from bot.commands.result_actions import ResultActions
from bot.commands.submission import Submission
from bot.commands.tree import tree_command
from bot.commands.usage import Charts, UsageCog
from bot.jobs.service import JobService
from bot.media.untrusted_images import ImageReader
from bot.privacy.privacy import Privacy
from bot.services import Services
from bot.settings import Settings
from bot.views.buttons import DYNAMIC_ITEMS
from bot.views.errors import answer, answer_error
from bot.views.modals import read_form
from bot.views.outbox import DiscordOutbox
from bot.views.privacy import is_about_privacy
from zimage_engine.types import EngineError

log = structlog.get_logger(__name__)


class Tree(app_commands.CommandTree["ZImageBot"]):
    """The command tree with the one error handler and the door for allowed servers."""

    async def on_error(self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError, /) -> None:
        await answer_error(interaction, error)

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        allowed = self.client.settings.allowed_guilds
        if not allowed or interaction.guild_id in allowed or is_about_privacy(interaction):
            return True
        if interaction.type is not discord.InteractionType.autocomplete:
            await answer(interaction, "This bot serves other servers only; ask its operator to add this one.")
        return False


class ZImageBot(commands.Bot):
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
        )
        self.settings = settings
        self._services = services
        self.questions = Questions()
        self.charts = Charts()
        self._closing = False
        self._set_up = asyncio.Event()

    async def model_ready(self) -> None:
        """Wait until the model is loaded; raises the engine's error where it cannot be."""
        await self._set_up.wait()
        await self._services.engine.ready()

    async def device_lost(self) -> EngineError:
        """Wait until the device is lost for good, which may be never; the error that says so."""
        await self._set_up.wait()
        return await self._services.engine.lost()

    @property
    def set_up(self) -> bool:
        """True once everything behind Discord has been started."""
        return self._set_up.is_set()

    @property
    def jobs(self) -> JobService:
        return self._services.jobs

    async def setup_hook(self) -> None:
        """Start everything behind Discord, then offer the commands."""
        await self._services.start(DiscordOutbox(self))
        submission = Submission(
            self._services.jobs,
            self._services.engine.profile,
            self.settings.max_count,
            self.settings.progress_interval,
            self._services.database,
            self.questions,
        )
        self.tree.add_command(imagine_command(submission))
        await self.add_cog(InfoCog(self, self._services.engine, submission))
        await self.add_cog(QuotaCog(self._services.jobs))
        await self.add_cog(UsageCog(self._services.database))
        self._offer_privacy()
        await self._offer_editing(submission)
        self._offer_administration()
        self.add_dynamic_items(*DYNAMIC_ITEMS)
        await sync_commands(self.tree, self._services.database, self.settings.owner_guild_id)
        self._set_up.set()

    async def _offer_editing(self, submission: Submission) -> None:
        services, settings = self._services, self.settings
        reader = ImageReader(limit_bytes=settings.max_upload_mb * 2**20)
        input_images = InputImages(self, services.database, settings.image_dir, reader, settings.retention_days)
        gallery = Gallery(
            services.database, services.jobs, input_images, settings.image_dir, reader, services.engine.profile
        )
        self.result_actions = ResultActions(submission, input_images, gallery, services.database)
        self._edit_menu = EditMenu(submission, input_images, self.result_actions, services.database)
        self.tree.add_command(edit_command(submission, input_images, services.database))
        self.tree.add_command(details_command(gallery))
        self.tree.add_command(tree_command(gallery, input_images, services.database))
        self.tree.add_command(self._edit_menu.command())
        await self.add_cog(ReplyCog(self, submission, input_images, gallery, services.database))

    def _offer_privacy(self) -> None:
        services, settings = self._services, self.settings
        privacy = Privacy(services.database, services.jobs, settings.database_path, settings.image_dir)
        self.privacy = PrivacyActions(self, privacy, settings)
        self.tree.add_command(privacy_group(self.privacy))
        self.tree.add_command(settings_command(services.database, services.engine.profile, settings.max_count))

    def _offer_administration(self) -> None:
        self.admin_context = AdminContext(self, self._services.database, self._services.jobs)
        self.tree.add_command(admin_group(self.admin_context))
        settings = self.settings
        if settings.owner_guild_id is not None:
            owner = OwnerCommands(self.admin_context, self._services.engine, settings.bot_owner_ids)
            self.tree.add_command(owner, guild=discord.Object(settings.owner_guild_id))

    async def on_interaction(self, interaction: discord.Interaction[Any], /) -> None:
        """Filled-in modals are read here: discord.py forgets those that were open when the program was started anew."""
        if interaction.type is not discord.InteractionType.modal_submit:
            return
        try:
            form = read_form(interaction)
            if form is not None and await self.tree.interaction_check(interaction):
                await self._edit_menu.on_form(interaction, form)
        except Exception as error:  # noqa: BLE001 - the last net: it is answered and logged
            await answer_error(interaction, error)

    async def close(self) -> None:
        """Disconnect last: jobs that end now can still tell their owners."""
        try:
            if not self._closing:
                self._closing = True
                await self._services.stop()
                self.charts.close()
        finally:
            await super().close()

    async def on_ready(self) -> None:
        log.info("online", user=str(self.user), guilds=len(self.guilds))

    async def on_message(self, message: discord.Message, /) -> None:
        """No text commands: discord.py would look for some in every message. Replies are the business of a cog."""
