"""``/privacy``: what is stored about a member, an export of it, and deleting it."""

# No `from __future__ import annotations` here: discord.py reads the options' ranges from the annotations.

from typing import Any

import discord
import structlog
from discord import app_commands
from discord.ext import commands

from bot.commands.parts import BotParts
from bot.privacy.privacy import Privacy
from bot.settings import Settings
from bot.store.privacy import PostedMessage
from bot.views.card_messages import NOT_SENT
from bot.views.discord_requests import reason_of
from bot.views.privacy import (
    ASK,
    DiscordExportSender,
    PrivacyButton,
    delete_view,
    deleted_text,
    exported_text,
    info_text,
    removed_text,
)
from bot.views.private_messages import check_private

log = structlog.get_logger(__name__)

_LARGEST_OPTION = 2**53 - 1
_WAIT_SECONDS = 120.0
_MAY_STILL_BE_POSTED = (
    "A request that is just ending may still be posted: use `/privacy delete` again in a few minutes."
)
"""How long to wait for jobs that are just ending. The daily task deletes the others."""


class PrivacyActions:
    """Handles ``/privacy`` and its buttons, always for the member who used them."""

    def __init__(self, client: discord.Client, privacy: Privacy, settings: Settings) -> None:
        self._client = client
        self._privacy = privacy
        self._settings = settings

    async def info(self, interaction: discord.Interaction[Any]) -> None:
        text = info_text(self._settings.retention_days, self._settings.backup_days)
        await interaction.response.send_message(text, ephemeral=True, suppress_embeds=True)

    async def export(self, interaction: discord.Interaction[Any], first_job: int) -> None:
        with self._privacy.one_export(interaction.user.id):
            await interaction.response.defer(ephemeral=True)
            sender = DiscordExportSender(interaction)
            exported = await self._privacy.export(interaction.user.id, first_job, sender)
            await sender.say(exported_text(exported, first_job))

    async def ask_delete(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.response.send_message(ASK, view=delete_view(), ephemeral=True)

    async def on_press(self, interaction: discord.Interaction[Any], what: str) -> None:
        """Handle the answer to the question: ``data``, ``all`` (posted pictures, too) or ``keep``.

        Raises :class:`Refusal` if the button is not under the private question.
        """
        check_private(interaction)
        if what == "keep":
            await interaction.response.edit_message(content="Nothing was deleted.", view=None)
            return
        member = interaction.user.id
        with self._privacy.one_deletion(member):
            await interaction.response.edit_message(content="Deleting …", view=None)
            removed = await self._privacy.forget(member)
            said = [deleted_text(removed)]
            if removed.still_open or what == "all":
                await self._tell(interaction, [*said, "Still deleting …"])
            left = await self._privacy.forget_rest(member, _WAIT_SECONDS) if removed.still_open else 0
            if what == "all":
                said.append(await self._remove_posted(member))
                if left:
                    said.append(_MAY_STILL_BE_POSTED)
            await self._tell(interaction, said)

    async def _remove_posted(self, member: int) -> str:
        """Delete the member's result messages in Discord one by one. Returns a sentence for the member."""
        outcomes = dict.fromkeys(("deleted", "unreachable", "failed"), 0)
        async for message in self._privacy.posted(member):
            outcomes[await self._remove(message)] += 1
        log.info("posted_removed", **outcomes)
        return removed_text(*outcomes.values())

    async def _remove(self, message: PostedMessage) -> str:
        channel = self._client.get_partial_messageable(message.channel_id)
        outcome = "deleted"
        try:
            await channel.get_partial_message(message.message_id).delete()
        except (discord.NotFound, discord.Forbidden) as error:
            if message.private:
                outcome = "unreachable"  # a private answer, whose interaction has expired
            elif isinstance(error, discord.Forbidden):
                return "failed"
        except NOT_SENT as error:
            log.info("posted_not_removed", job=message.job_id, reason=reason_of(error))
            return "failed"
        await self._privacy.posted_gone(message)
        return outcome

    async def _tell(self, interaction: discord.Interaction[Any], sentences: list[str]) -> None:
        """Edit the answer, or send a direct message if the answer can no longer be edited."""
        text = "\n".join(sentences)
        try:
            await interaction.edit_original_response(content=text)
        except NOT_SENT:
            try:
                await interaction.user.send(text)
            except NOT_SENT as error:
                log.info("deletion_not_told", reason=reason_of(error))


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/privacy info``, ``export`` and ``delete``, and the buttons under the latter's question."""
    actions = parts.privacy
    group = app_commands.Group(name="privacy", description="What I store about you: see it, export it, delete it")

    @group.command(name="info", description="What I store about you, for how long, and who sees it")
    async def info(interaction: discord.Interaction[Any]) -> None:
        await actions.info(interaction)

    @group.command(name="export", description="Everything I store about you, as ZIP files that you alone see")
    @app_commands.describe(from_job="Continue an export that was interrupted; its last message says where")
    async def export(
        interaction: discord.Interaction[Any], from_job: app_commands.Range[int, 1, _LARGEST_OPTION] = 1
    ) -> None:
        await actions.export(interaction, from_job)

    @group.command(name="delete", description="Delete your prompts, pictures and settings; asks once")
    async def delete(interaction: discord.Interaction[Any]) -> None:
        await actions.ask_delete(interaction)

    bot.tree.add_command(group)
    bot.add_dynamic_items(PrivacyButton)
