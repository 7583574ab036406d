"""Who asks, and how they are answered: by an interaction (command, button, modal) or by a message."""

from __future__ import annotations

import time
from typing import Any, Protocol

import discord

from bot.store.jobs import ReplyToken
from bot.views.surfaces import ReplySurface, ResponseSurface, Surface

_TOKEN_SECONDS = 15 * 60
_SAFETY_SECONDS = 30


class Asker(Protocol):
    """``source_id`` is the event's id: whoever asks twice with the same one is answered once."""

    source_id: int
    user: discord.User | discord.Member
    guild: discord.Guild | None
    channel_id: int
    reply: ReplyToken | None
    response_file_limit: int | None

    async def open_card(self, text: str, view: discord.ui.View | None, *, private: bool) -> Surface:
        """The one answer: a message that is edited from now on. Raises what discord.py raises."""
        ...


class InteractionAsker:
    """A command, a button or a modal."""

    def __init__(self, interaction: discord.Interaction[Any]) -> None:
        self._interaction = interaction
        self.source_id = interaction.id
        self.user: discord.User | discord.Member = interaction.user
        self.guild: discord.Guild | None = interaction.guild
        self.channel_id = interaction.channel_id or 0
        self.reply: ReplyToken | None = ReplyToken(
            interaction.application_id, interaction.token, int(time.time()) + _TOKEN_SECONDS - _SAFETY_SECONDS
        )
        self.response_file_limit: int | None = interaction.filesize_limit

    async def open_card(self, text: str, view: discord.ui.View | None, *, private: bool) -> Surface:
        interaction = self._interaction
        shown = await interaction.response.send_message(
            text, view=view or discord.utils.MISSING, ephemeral=private, suppress_embeds=True
        )
        message_id = shown.message_id or (await interaction.original_response()).id
        return ResponseSurface(interaction.followup, message_id, private=private)


class MessageAsker:
    """A reply or a mention. Whatever is answered here is public, so nothing private can be asked for."""

    reply: ReplyToken | None = None
    response_file_limit: int | None = None

    def __init__(self, message: discord.Message) -> None:
        self._message = message
        self.source_id = message.id
        self.user: discord.User | discord.Member = message.author
        self.guild: discord.Guild | None = message.guild
        self.channel_id = message.channel.id

    async def open_card(self, text: str, view: discord.ui.View | None, *, private: bool) -> Surface:
        assert not private, "a message cannot be answered privately"
        card = await self._message.reply(
            text, view=view or discord.utils.MISSING, mention_author=False, suppress_embeds=True
        )
        return ReplySurface(self._message, card)
