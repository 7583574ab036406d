"""Messages that hold the cards of an earlier process: see :class:`bot.views.card_messages.CardMessage`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import discord

from bot.jobs.card import NoteCard
from bot.jobs.delivery import Undeliverable
from bot.views.card_messages import NOT_SENT

_MESSAGES_SEARCHED = 50


class OriginalResponse:
    """The response of an interaction, of which it is not known whether it was sent, and under which id."""

    def __init__(self, webhook: discord.Webhook, note_card: NoteCard | None = None, *, private: bool) -> None:
        self._webhook = webhook
        self._note_card = note_card
        self.private = private
        self.message_id: int | None = None

    async def edit(self, **changes: Any) -> None:
        # The typed API takes a message's id; Discord also takes this name for the response.
        edited = await self._webhook.edit_message("@original", **changes)  # type: ignore[call-overload]
        if self.message_id is None and self._note_card is not None:
            await self._note_card(edited.id, moved=False)
        self.message_id = edited.id

    async def delete(self) -> None:
        await self._webhook.delete_message("@original")  # type: ignore[arg-type]

    async def notify_owner(self, sentence: str, view: discord.ui.View | None = None) -> None:
        await self._webhook.send(sentence, ephemeral=True, view=view or discord.utils.MISSING)


class ChannelCardMessage:
    """A message in a channel, by its id; or else the reply of ``author_id`` to the message with the id ``replies_to``.

    Nothing here is private, so the owner gets no notices.
    """

    private = False

    def __init__(
        self,
        channel: discord.PartialMessageable,
        message_id: int | None,
        *,
        replies_to: int | None = None,
        author_id: int | None = None,
    ) -> None:
        self._channel = channel
        self.message_id = message_id
        self._author_id = author_id
        self._replies_to = replies_to

    async def edit(self, **changes: Any) -> None:
        message_id = await self._find()
        if message_id is None:
            raise Undeliverable("the card is not there")
        await self._channel.get_partial_message(message_id).edit(**changes)

    async def delete(self) -> None:
        message_id = await self._find()
        if message_id is not None:
            await self._channel.get_partial_message(message_id).delete()

    async def notify_owner(self, sentence: str, view: discord.ui.View | None = None) -> None:
        pass

    async def _find(self) -> int | None:
        if self.message_id is None and self._replies_to is not None:
            asked = discord.Object(self._replies_to)
            async for message in self._channel.history(limit=_MESSAGES_SEARCHED, after=asked, oldest_first=True):
                mine = message.author.id == self._author_id  # other bots may have replied, too
                if mine and message.reference is not None and message.reference.message_id == self._replies_to:
                    self.message_id = message.id
                    break
        return self.message_id


class MovedCardMessage:
    """A card whose interaction has expired: the first edit sends an ordinary message and deletes the old card.

    ``note_card`` is called with the new message's id. Cards that share ``moving`` move one at a time: Discord's limit
    for messages in a channel is that of the results, too.
    """

    private = False

    def __init__(
        self,
        channel: discord.PartialMessageable,
        old_message_id: int | None,
        nonce: str,
        note_card: NoteCard,
        moving: asyncio.Lock,
    ) -> None:
        self._channel = channel
        self.message_id = old_message_id
        self._nonce = nonce
        self._note_card = note_card
        self._moving = moving
        self._moved = False

    async def edit(self, **changes: Any) -> None:
        if self._moved and self.message_id is not None:
            await self._channel.get_partial_message(self.message_id).edit(**changes)
            return
        async with self._moving:
            await self._move(changes)

    async def _move(self, changes: dict[str, Any]) -> None:
        view = {"view": changes["view"]} if changes.get("view") is not None else {}
        sent = await self._channel.send(changes.get("content"), nonce=self._nonce, suppress_embeds=True, **view)
        old_id, self.message_id, self._moved = self.message_id, sent.id, True
        await self._note_card(sent.id, moved=True)
        if old_id is not None and old_id != sent.id:
            with suppress(*NOT_SENT):  # the channel may be closed to the bot for everything but sending
                await self._channel.get_partial_message(old_id).delete()

    async def delete(self) -> None:
        if self.message_id is not None:
            await self._channel.get_partial_message(self.message_id).delete()

    async def notify_owner(self, sentence: str, view: discord.ui.View | None = None) -> None:
        pass


class UnreachableCardMessage:
    """A private card whose interaction has expired: nothing can change it any more."""

    private = True
    message_id: int | None = None

    async def edit(self, **changes: Any) -> None:
        del changes
        raise Undeliverable("the interaction has expired")

    async def delete(self) -> None:
        pass

    async def notify_owner(self, sentence: str, view: discord.ui.View | None = None) -> None:
        pass
