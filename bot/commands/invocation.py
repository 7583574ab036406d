"""Who asks for something and where, by an interaction (command, button, modal) or a message; and how to answer."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any, Protocol

import discord
import structlog

from bot.moderation.access import Place
from bot.store.limits import Requester
from bot.store.reply_tokens import ReplyToken
from bot.views.card_messages import CardMessage, ReplyCardMessage, ResponseCardMessage, reply_or_send
from bot.views.discord_requests import LOST_CONNECTION, reason_of
from bot.views.permissions import ServerChannel, missing_permissions

log = structlog.get_logger(__name__)

_TOKEN_SECONDS = 15 * 60
_SAFETY_SECONDS = 30
_ANSWER_PAUSES = (0.2, 0.5, 1.0, 2.0)
"""Seconds before the next attempts to answer a message, after a lost connection or an answer of 500 and above."""


class Invocation(Protocol):
    """A command, button, modal or message that asks for something.

    ``event_id`` is Discord's id of it: two jobs with the same one are the same job. ``reply`` and
    ``response_file_limit``, in bytes, are None for messages, which have no response to edit.
    """

    event_id: int
    user: discord.User | discord.Member
    guild: discord.Guild | None
    channel_id: int
    reply: ReplyToken | None
    response_file_limit: int | None

    @property
    def requester(self) -> Requester:
        """The member and the place, as limits and rules see them."""
        ...

    @property
    def place(self) -> Place:
        """Where the member asks, with what they may do there."""
        ...

    @property
    def missing_permissions(self) -> tuple[str, ...]:
        """The names of the permissions that the bot lacks to post a result here.

        Empty in direct messages and in servers that the bot is not in, where results are the response.
        """
        ...

    async def open_card(
        self, text: str, view: discord.ui.View | None, *, private: bool, file: discord.File | None = None
    ) -> CardMessage:
        """Answer with the progress card, which is edited from then on. Raises what discord.py raises."""
        ...

    async def ask(self, text: str, view: discord.ui.View) -> CardMessage:
        """Ask a question with buttons, privately if the place allows. Raises what discord.py raises."""
        ...

    async def answered_by(self, interaction: discord.Interaction[Any]) -> Invocation:
        """Return the same event with what the interaction that answered its question says of the member now."""
        ...


class InteractionInvocation:
    """A command, a button or a modal. ``event_id`` is given if another interaction began it."""

    def __init__(self, interaction: discord.Interaction[Any], event_id: int | None = None) -> None:
        self._interaction = interaction
        self.event_id = interaction.id if event_id is None else event_id
        self.user: discord.User | discord.Member = interaction.user
        self.guild: discord.Guild | None = interaction.guild
        self.channel_id = interaction.channel_id or 0
        self.reply: ReplyToken | None = ReplyToken(
            interaction.application_id, interaction.token, int(time.time()) + _TOKEN_SECONDS - _SAFETY_SECONDS
        )
        self.response_file_limit: int | None = interaction.filesize_limit

    @property
    def requester(self) -> Requester:
        interaction = self._interaction
        # A member who installed the bot for themselves spends no credits of the server that they are in.
        scope_id = 0 if self._user_installed else interaction.guild_id or 0
        return requester_of(self.user, interaction.channel, interaction.guild_id, scope_id)

    @property
    def place(self) -> Place:
        interaction = self._interaction
        return place_of(interaction.channel, interaction.permissions, interaction.guild_id, self.channel_id)

    @property
    def missing_permissions(self) -> tuple[str, ...]:
        interaction = self._interaction
        known = interaction.guild_id is not None and interaction.client.get_guild(interaction.guild_id) is not None
        if not known or self._user_installed or not isinstance(interaction.channel, ServerChannel):
            return ()
        return missing_permissions(interaction.channel, interaction.app_permissions)

    @property
    def _user_installed(self) -> bool:
        """True if the member installed the bot for themselves, and the server did not."""
        return self._interaction.is_user_integration() and not self._interaction.is_guild_integration()

    async def open_card(
        self, text: str, view: discord.ui.View | None, *, private: bool, file: discord.File | None = None
    ) -> CardMessage:
        interaction = self._interaction
        if interaction.response.is_done():
            message = await interaction.followup.send(
                text,
                view=view or discord.utils.MISSING,
                file=file or discord.utils.MISSING,
                ephemeral=private,
                suppress_embeds=True,
                wait=True,
            )
            return self._card_message(message.id, private=private)
        try:
            shown = await interaction.response.send_message(
                text,
                view=view or discord.utils.MISSING,
                file=file or discord.utils.MISSING,
                ephemeral=private,
                suppress_embeds=True,
            )
            message_id = shown.message_id
        except (discord.DiscordServerError, *LOST_CONNECTION) as error:
            log.info("answer_looked_for", reason=reason_of(error))
            message_id = None  # it may have been shown all the same: the next request raises if it was not
        return self._card_message(message_id or (await interaction.original_response()).id, private=private)

    def _card_message(self, message_id: int, *, private: bool) -> CardMessage:
        interaction = self._interaction
        channel = interaction.client.get_partial_messageable(self.channel_id, guild_id=interaction.guild_id)
        return ResponseCardMessage(interaction.followup, message_id, private=private, channel=channel)

    async def ask(self, text: str, view: discord.ui.View) -> CardMessage:
        return await self.open_card(text, view, private=True)

    async def answered_by(self, interaction: discord.Interaction[Any]) -> Invocation:
        return InteractionInvocation(interaction, self.event_id)


class MessageInvocation:
    """A reply or a mention. Answers to it are public, so no private result can be asked for."""

    reply: ReplyToken | None = None
    response_file_limit: int | None = None

    def __init__(self, message: discord.Message, user: discord.User | discord.Member | None = None) -> None:
        self._message = message
        self.event_id = message.id
        self.user = user or message.author
        self.guild: discord.Guild | None = message.guild
        self.channel_id = message.channel.id

    @property
    def requester(self) -> Requester:
        guild_id = self.guild.id if self.guild is not None else None
        return requester_of(self.user, self._message.channel, guild_id, guild_id or 0)

    @property
    def place(self) -> Place:
        # Only who may write in a channel can send a message there. Nothing that a message asks for needs a moderator.
        granted = discord.Permissions(view_channel=True, send_messages=True, send_messages_in_threads=True)
        channel = self._message.channel
        return place_of(channel, granted, self.guild.id if self.guild is not None else None, self.channel_id)

    @property
    def missing_permissions(self) -> tuple[str, ...]:
        channel = self._message.channel
        return missing_permissions(channel) if isinstance(channel, ServerChannel) else ()

    async def open_card(
        self, text: str, view: discord.ui.View | None, *, private: bool, file: discord.File | None = None
    ) -> CardMessage:
        assert not private, "a message cannot be answered privately"
        assert file is None, "a message names its picture"
        nonce = "r" + secrets.token_hex(11)

        async def reply() -> discord.Message:
            return await reply_or_send(
                self._message, text, view=view or discord.utils.MISSING, nonce=nonce, suppress_embeds=True
            )

        for pause in _ANSWER_PAUSES:
            try:
                return ReplyCardMessage(self._message, await reply())
            except (discord.DiscordServerError, *LOST_CONNECTION) as error:
                log.info("answer_repeated", reason=reason_of(error))
            await asyncio.sleep(pause)
        # Discord drops each of these but the first that was posted: the nonce is the same.
        return ReplyCardMessage(self._message, await reply())

    async def ask(self, text: str, view: discord.ui.View) -> CardMessage:
        return await self.open_card(text, view, private=False)

    async def answered_by(self, interaction: discord.Interaction[Any]) -> Invocation:
        await interaction.response.defer()
        return MessageInvocation(self._message, interaction.user)


def requester_of(user: discord.abc.Snowflake, channel: Any, guild_id: int | None, scope_id: int) -> Requester:
    """Return a member with their roles, and the ids of the thread, channel and category that they are in."""
    roles = tuple(role.id for role in user.roles) if isinstance(user, discord.Member) else ()
    thread = isinstance(channel, discord.Thread)
    holder = channel.parent if thread else channel  # None if the bot cannot see the thread's channel
    parent_id = channel.parent_id if thread else None
    chain = (getattr(channel, "id", None), parent_id, getattr(holder, "category_id", None))
    return Requester(
        member_id=user.id,
        scope_id=scope_id,
        guild_id=guild_id,
        role_ids=roles,
        channels=tuple(place for place in chain if place is not None),
        age_restricted=_is_age_restricted(channel),
    )


def place_of(channel: Any, granted: discord.Permissions, guild_id: int | None, channel_id: int) -> Place:
    """Return a channel, thread or conversation with what a member with these permissions may do there."""
    if guild_id is None:
        return Place(None, channel_id, reads=True, writes=True)
    in_thread = isinstance(channel, discord.Thread)
    return Place(
        guild_id,
        channel_id,
        reads=granted.view_channel,
        writes=granted.send_messages_in_threads if in_thread else granted.send_messages,
        moderates=granted.manage_messages,
        age_restricted=_is_age_restricted(channel),
    )


def _is_age_restricted(channel: Any) -> bool:
    holder = channel.parent if isinstance(channel, discord.Thread) else channel
    nsfw = getattr(holder, "is_nsfw", None)  # None if the bot cannot see the thread's channel
    return bool(nsfw()) if callable(nsfw) else False
