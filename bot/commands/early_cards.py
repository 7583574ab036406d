"""Cards that are shown before their job exists, because the picture to edit has to be read first."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import discord
import structlog

from bot.commands.invocation import Invocation
from bot.requests.drafts import Draft
from bot.store import open_cards
from bot.store.database import Database
from bot.store.open_cards import OpenCard
from bot.views.card_messages import CardMessage

log = structlog.get_logger(__name__)


@asynccontextmanager
async def early_card(
    database: Database,
    invocation: Invocation,
    text: str,
    prompt: str,
    draft: Draft,
    *,
    private: bool,
    file: discord.File | None = None,
) -> AsyncIterator[CardMessage]:
    """Show a card, with a row that lets the next process end it if this one ends before the block does.

    That gives the request back as ``draft`` says it.

    The job that is inserted takes the card over. Raises what discord.py raises, and if the row cannot be written.
    """
    card = OpenCard(
        event_id=invocation.event_id,
        owner_id=invocation.user.id,
        guild_id=invocation.requester.guild_id,
        channel_id=invocation.channel_id,
        visibility="private" if private else "public",
        prompt=prompt,
        reply=invocation.reply,
        draft=draft.to_json(),
    )
    await database.write(partial(open_cards.open_card, card=card, now=int(time.time())))
    try:
        card_message = await invocation.open_card(text, None, private=private, file=file)
        assert card_message.message_id is not None, "it was just sent"
        await _write(database, partial(open_cards.sent, event_id=card.event_id, message_id=card_message.message_id))
        yield card_message
    finally:
        await _write(database, partial(open_cards.close, event_id=card.event_id))


async def _write(database: Database, change: Callable[[sqlite3.Connection], object]) -> None:
    """Change the row; a failure is only logged, since the member has the card, and perhaps the job, already."""
    try:
        await database.write(change)
    except Exception:
        log.exception("open_card_not_noted")
