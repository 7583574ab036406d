"""The message that holds a progress card: an interaction's own response, or a reply to a message."""

from __future__ import annotations

from typing import Any, Protocol

import discord
import structlog

from bot.views.discord_requests import EXPIRED_STATUSES, LOST_CONNECTION, reason_of

log = structlog.get_logger(__name__)

NOT_SENT = (discord.HTTPException, *LOST_CONNECTION)
SHORT_LIVED_SECONDS = 20.0
_CANNOT_REPLY = (10008, 50035, 160002)
"""Discord's codes for a reply to a message that is gone, or that the bot may not read in the history."""


class CardMessage(Protocol):
    """A message of the bot that can be edited; ``private`` if only its owner sees it.

    ``message_id`` is None if it is not known. Every method raises what discord.py raises (:data:`NOT_SENT`).
    """

    private: bool

    @property
    def message_id(self) -> int | None: ...

    async def edit(self, **changes: Any) -> None: ...

    async def delete(self) -> None: ...

    async def notify_owner(self, sentence: str, view: discord.ui.View | None = None) -> None:
        """Send a sentence to the owner: privately if possible, else as a message that is deleted soon."""
        ...


class ResponseCardMessage:
    """An interaction's own response.

    Its webhook closes after 15 minutes; a public response is then edited as a message of ``channel``.
    """

    def __init__(
        self,
        webhook: discord.Webhook,
        message_id: int,
        *,
        private: bool,
        channel: discord.PartialMessageable | None = None,
    ) -> None:
        self._webhook = webhook
        self.message_id = message_id
        self.private = private
        self._in_channel = channel.get_partial_message(message_id) if channel is not None and not private else None

    async def edit(self, **changes: Any) -> None:
        try:
            await self._webhook.edit_message(self.message_id, **changes)
        except discord.HTTPException as error:
            if self._in_channel is None or error.status not in EXPIRED_STATUSES:
                raise
            await self._in_channel.edit(**changes)

    async def delete(self) -> None:
        try:
            await self._webhook.delete_message(self.message_id)
        except discord.HTTPException as error:
            if self._in_channel is None or error.status not in EXPIRED_STATUSES:
                raise
            await self._in_channel.delete()

    async def notify_owner(self, sentence: str, view: discord.ui.View | None = None) -> None:
        await self._webhook.send(sentence, ephemeral=True, view=view or discord.utils.MISSING)


class ReplyCardMessage:
    """A reply to the member's message. Nothing here is private, so what :meth:`notify_owner` sends is deleted soon."""

    private = False

    def __init__(self, message: discord.Message, card: discord.Message) -> None:
        self._message = message
        self._card = card
        self.message_id = card.id

    async def edit(self, **changes: Any) -> None:
        await self._card.edit(**changes)

    async def delete(self) -> None:
        await self._card.delete()

    async def notify_owner(self, sentence: str, view: discord.ui.View | None = None) -> None:
        await reply_shortly(self._message, sentence, view)


async def reply_or_send(message: discord.Message, text: str, **options: Any) -> discord.Message:
    """Reply to a message; if it is gone, or the bot may not read the history, send the text to its channel.

    Raises what discord.py raises.
    """
    try:
        return await message.reply(text, mention_author=False, **options)
    except discord.HTTPException as error:
        if error.code not in _CANNOT_REPLY:
            raise
        return await message.channel.send(text, **options)


async def reply_shortly(message: discord.Message, sentence: str, view: discord.ui.View | None = None) -> None:
    """Answer a message with a sentence that is deleted soon. Raises what discord.py raises."""
    buttons = view or discord.utils.MISSING
    await reply_or_send(message, sentence, delete_after=SHORT_LIVED_SECONDS, view=buttons)


async def refuse_on(card_message: CardMessage, sentence: str, view: discord.ui.View | None = None) -> None:
    """End a card with a sentence to its owner, and buttons under it.

    If the owner can be told privately, the card is deleted; else the card itself shows the sentence.
    """
    if not card_message.private and await tell_privately(card_message, sentence, view):
        await remove(card_message)
        return
    try:
        await card_message.edit(content=sentence, view=view, attachments=[])
    except NOT_SENT as error:
        log.warning("refusal_not_shown", reason=reason_of(error))


async def tell_privately(card_message: CardMessage, sentence: str, view: discord.ui.View | None = None) -> bool:
    """Send a sentence to the owner of a public card. Returns False if that was not possible."""
    try:
        await card_message.notify_owner(sentence, view)
    except NOT_SENT as error:
        log.info("refusal_not_private", reason=reason_of(error))
        return False
    return True


async def remove(card_message: CardMessage) -> None:
    """Delete a card; a failure is only logged."""
    try:
        await card_message.delete()
    except NOT_SENT as error:
        log.info("card_not_removed", reason=reason_of(error))
