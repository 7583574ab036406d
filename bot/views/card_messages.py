"""Where a progress card stands: an interaction's own response, or a reply to a message. Both are edited alike."""

from __future__ import annotations

from typing import Any, Protocol

import aiohttp
import discord
import structlog

log = structlog.get_logger(__name__)

NOT_SENT = (discord.HTTPException, aiohttp.ClientError, OSError)
SHORT_LIVED_SECONDS = 20.0
_CLOSED = (401, 404)
"""How Discord answers a token that has expired."""


class CardMessage(Protocol):
    """A message of the bot that can be changed; ``private`` where the owner alone sees it.

    The methods raise what discord.py raises (:data:`NOT_SENT`).
    """

    message_id: int
    private: bool

    async def edit(self, **changes: Any) -> None: ...

    async def delete(self) -> None: ...

    async def tell(self, sentence: str) -> None:
        """Say it to the owner, as privately as this place allows."""
        ...


class ResponseCardMessage:
    """An interaction's own response. Its webhook closes after 15 minutes; ``channel`` is a way to a public one."""

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
        self._later = channel.get_partial_message(message_id) if channel is not None and not private else None

    async def edit(self, **changes: Any) -> None:
        try:
            await self._webhook.edit_message(self.message_id, **changes)
        except discord.HTTPException as error:
            if self._later is None or error.status not in _CLOSED:
                raise
            await self._later.edit(**changes)

    async def delete(self) -> None:
        try:
            await self._webhook.delete_message(self.message_id)
        except discord.HTTPException as error:
            if self._later is None or error.status not in _CLOSED:
                raise
            await self._later.delete()

    async def tell(self, sentence: str) -> None:
        await self._webhook.send(sentence, ephemeral=True)


class ReplyCardMessage:
    """A reply to the message that asked. Nothing here is private, so what is said removes itself."""

    private = False

    def __init__(self, asked: discord.Message, card: discord.Message) -> None:
        self._asked = asked
        self._card = card
        self.message_id = card.id

    async def edit(self, **changes: Any) -> None:
        await self._card.edit(**changes)

    async def delete(self) -> None:
        await self._card.delete()

    async def tell(self, sentence: str) -> None:
        await reply_shortly(self._asked, sentence)


async def reply_shortly(message: discord.Message, sentence: str) -> None:
    """Answer a message with a sentence that goes away by itself; a message that is gone is answered in its channel."""
    try:
        await message.reply(sentence, delete_after=SHORT_LIVED_SECONDS, mention_author=False)
    except discord.HTTPException as error:
        if isinstance(error, discord.Forbidden):
            raise
        await message.channel.send(sentence, delete_after=SHORT_LIVED_SECONDS)


async def refuse_on(card_message: CardMessage, sentence: str) -> None:
    """End a card with a sentence: told to the owner alone where that can be, then it goes; else the card says it."""
    if not card_message.private:
        try:
            await card_message.tell(sentence)
        except NOT_SENT as error:
            log.info("refusal_not_private", reason=str(error))
        else:
            await remove(card_message)
            return
    try:
        await card_message.edit(content=sentence, view=None, attachments=[])
    except NOT_SENT as error:
        log.warning("refusal_not_shown", reason=str(error))


async def remove(card_message: CardMessage) -> None:
    try:
        await card_message.delete()
    except NOT_SENT as error:
        log.info("card_not_removed", reason=str(error))
