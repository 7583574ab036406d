"""Cards that were sent before their job exists, while a picture to edit is being read.

If the process ends meanwhile, its successor tells the member what became of their request. All functions are part of
a transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from bot.store.accounts import DAY
from bot.store.reply_tokens import ReplyToken, Visibility


@dataclass(frozen=True, slots=True)
class OpenCard:
    """A card without a job. ``message_id`` is None if it is unknown whether the card was sent.

    ``draft`` is the JSON of the request's :class:`bot.requests.drafts.Draft`; None if it was written before there were
    any.
    """

    event_id: int
    owner_id: int
    guild_id: int | None
    channel_id: int
    visibility: Visibility
    prompt: str
    reply: ReplyToken | None
    message_id: int | None = None
    draft: str | None = None


def open_card(connection: sqlite3.Connection, card: OpenCard, now: int) -> None:
    """Note that a card is about to be sent."""
    reply = card.reply
    connection.execute(
        "INSERT OR REPLACE INTO open_cards (event_id, owner_id, guild_id, channel_id, visibility, prompt, message_id,"
        " application_id, interaction_token, token_expires_at, created_at, draft)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            card.event_id,
            card.owner_id,
            card.guild_id,
            card.channel_id,
            card.visibility,
            card.prompt,
            card.message_id,
            reply.application_id if reply else None,
            reply.token if reply else None,
            reply.expires_at if reply else None,
            now,
            card.draft,
        ),
    )


def sent(connection: sqlite3.Connection, event_id: int, message_id: int) -> None:
    """Note the message of a card that was sent."""
    connection.execute("UPDATE open_cards SET message_id = ? WHERE event_id = ?", (message_id, event_id))


def close(connection: sqlite3.Connection, event_id: int) -> int | None:
    """Forget the card of an event. Returns its message's id, None if there is no card or the id is unknown."""
    row = connection.execute("DELETE FROM open_cards WHERE event_id = ? RETURNING message_id", (event_id,)).fetchone()
    return row["message_id"] if row is not None else None


def left_over(connection: sqlite3.Connection) -> list[OpenCard]:
    """Return all open cards, the oldest first."""
    return [
        OpenCard(
            event_id=row["event_id"],
            owner_id=row["owner_id"],
            guild_id=row["guild_id"],
            channel_id=row["channel_id"],
            visibility=row["visibility"],
            prompt=row["prompt"],
            reply=ReplyToken.of_row(row),
            message_id=row["message_id"],
            draft=row["draft"],
        )
        for row in connection.execute("SELECT * FROM open_cards ORDER BY created_at, event_id")
    ]


def drop_old(connection: sqlite3.Connection, now: int) -> None:
    """Delete the cards of more than a day ago, whose members could not be told."""
    connection.execute("DELETE FROM open_cards WHERE created_at <= ?", (now - DAY,))


def forget_member(connection: sqlite3.Connection, member_id: int) -> None:
    """Delete a member's open cards."""
    connection.execute("DELETE FROM open_cards WHERE owner_id = ?", (member_id,))
