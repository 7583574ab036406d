"""The progress cards of jobs: on a message that was just sent, or restored from the rows of an earlier process."""

from __future__ import annotations

import asyncio
import time

import discord
import structlog

from bot.jobs.card import NoteCard
from bot.jobs.delivery import Undeliverable
from bot.jobs.job import Job
from bot.store.job_rows import JobRow
from bot.store.open_cards import OpenCard
from bot.views.card_messages import CardMessage, ResponseCardMessage
from bot.views.discord_requests import EXPIRED_STATUSES, reason_of, webhook_of, with_retry
from bot.views.drafts import draft_view, job_request_view
from bot.views.progress import ProgressCard, closing_text
from bot.views.restored_cards import ChannelCardMessage, MovedCardMessage, OriginalResponse, UnreachableCardMessage

log = structlog.get_logger(__name__)

_LOST_REQUEST = "I restarted while I was reading the picture, and nothing was charged: please ask again."


class JobCards:
    """Makes cards that are edited at most once in ``interval`` seconds."""

    def __init__(self, client: discord.Client, interval: float) -> None:
        self._client = client
        self._interval = interval
        self._moving = asyncio.Lock()

    def card_on(self, job: Job, card_message: CardMessage, shown: str | None = None) -> ProgressCard:
        """Return a card on an existing message, whose text stays until the first progress; ``shown`` if it is known."""
        return ProgressCard(job, card_message, self._interval, self._send_instead, shown=shown)

    def restore(self, job: Job, row: JobRow, note_card: NoteCard) -> ProgressCard:
        """Return the card of a job that an earlier process accepted.

        Where its token has expired, an ordinary message takes the place of a public card with the first edit;
        ``note_card`` is then called with its id.
        """
        message = self._restored_message(row, note_card)
        return ProgressCard(job, message, self._interval, self._send_instead, restored=True)

    async def end_open_card(self, card: OpenCard, draft_id: int) -> None:
        """Tell a member that their request was lost while the picture was being read: on the card, or else directly.

        Raises :class:`bot.jobs.delivery.Outage`.
        """
        message, view = self._open_message(card), draft_view(draft_id)
        text = closing_text(card.prompt, None, _LOST_REQUEST)
        try:
            await with_retry(lambda: message.edit(content=text, view=view, attachments=[]), EXPIRED_STATUSES)
        except Undeliverable as error:
            log.info("open_card_not_edited", source=card.event_id, reason=reason_of(error))
        else:
            return
        try:
            await self._send_directly(card.owner_id, text, f"o{card.event_id}", view)
        except Undeliverable as error:
            log.warning("lost_request_not_told", source=card.event_id, reason=reason_of(error))

    def _restored_message(self, row: JobRow, note_card: NoteCard) -> CardMessage:
        channel = self._client.get_partial_messageable(row.channel_id, guild_id=row.guild_id)
        private = row.visibility == "private"
        if row.reply is not None and row.reply.expires_at > time.time():
            webhook = webhook_of(self._client, row.reply)
            if row.card_message_id is not None:
                return ResponseCardMessage(webhook, row.card_message_id, private=private, channel=channel)
            return OriginalResponse(webhook, note_card, private=private)
        if private:
            return UnreachableCardMessage()
        if not row.by_interaction:
            author_id = self._client.user.id if self._client.user is not None else None
            return ChannelCardMessage(channel, row.card_message_id, replies_to=row.event_id, author_id=author_id)
        return MovedCardMessage(channel, row.card_message_id, "c" + row.nonce[1:], note_card, self._moving)

    def _open_message(self, card: OpenCard) -> CardMessage:
        channel = self._client.get_partial_messageable(card.channel_id, guild_id=card.guild_id)
        private = card.visibility == "private"
        if card.reply is not None and card.reply.expires_at > time.time():
            webhook = webhook_of(self._client, card.reply)
            if card.message_id is not None:
                return ResponseCardMessage(webhook, card.message_id, private=private, channel=channel)
            return OriginalResponse(webhook, private=private)
        if private:
            return UnreachableCardMessage()
        author_id = self._client.user.id if self._client.user is not None else None
        return ChannelCardMessage(channel, card.message_id, replies_to=card.event_id, author_id=author_id)

    async def _send_instead(self, job: Job, text: str, *, directly: bool) -> None:
        """See :class:`bot.views.progress.SendInstead`."""
        view = job_request_view(job.id)
        if not job.private and not directly:
            channel = self._client.get_partial_messageable(job.request.channel_id, guild_id=job.request.guild_id)
            try:
                await _send_text(channel, text, "f" + job.nonce[1:], view)
            except Undeliverable as error:
                log.info("end_not_told_in_channel", job=job.id, reason=reason_of(error))
            else:
                return
        await self._send_directly(job.request.owner_id, text, "g" + job.nonce[1:], view)

    async def _send_directly(self, member_id: int, text: str, nonce: str, view: discord.ui.View | None = None) -> None:
        await _send_text(await with_retry(lambda: self._client.create_dm(discord.Object(member_id))), text, nonce, view)


async def _send_text(
    channel: discord.abc.Messageable, text: str, nonce: str, view: discord.ui.View | None = None
) -> None:
    mentions = discord.AllowedMentions.none()
    buttons = view or discord.utils.MISSING
    await with_retry(
        lambda: channel.send(text, nonce=nonce, allowed_mentions=mentions, suppress_embeds=True, view=buttons)
    )
