"""The way back to an interaction's own response, which is open for 15 minutes."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

Visibility = Literal["public", "private"]


@dataclass(frozen=True, slots=True)
class ReplyToken:
    """What is needed to edit an interaction's response until ``expires_at`` (UTC seconds)."""

    application_id: int
    token: str
    expires_at: int

    @classmethod
    def of_row(cls, row: sqlite3.Row) -> ReplyToken | None:
        """Return the token in a row of ``jobs`` or ``open_cards``; None if there is none or it was wiped."""
        if row["interaction_token"] is None:
            return None
        return cls(row["application_id"], row["interaction_token"], row["token_expires_at"])
