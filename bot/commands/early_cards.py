"""Cards that are shown before their job exists, because the picture to edit has to be read first."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from bot.commands.invocation import Invocation
from bot.store import open_cards
from bot.store.database import Database
from bot.store.open_cards import OpenCard
from bot.views.card_messages import CardMessage


@asynccontextmanager
async def early_card(
    database: Database, invocation: Invocation, text: str, prompt: str, *, private: bool
) -> AsyncIterator[CardMessage]:
    """Show a card, with a row that lets the next process end it if this one ends before the block does.

    The job that is inserted takes the card over. Raises what discord.py raises.
    """
    card = OpenCard(
        event_id=invocation.event_id,
        owner_id=invocation.user.id,
        guild_id=invocation.requester.guild_id,
        channel_id=invocation.channel_id,
        visibility="private" if private else "public",
        prompt=prompt,
        reply=invocation.reply,
    )
    await database.write(partial(open_cards.open_card, card=card, now=int(time.time())))
    try:
        card_message = await invocation.open_card(text, None, private=private)
        assert card_message.message_id is not None, "it was just sent"
        sent = partial(open_cards.sent, event_id=card.event_id, message_id=card_message.message_id)
        await database.write(sent)
        yield card_message
    finally:
        await database.write(partial(open_cards.close, event_id=card.event_id))
