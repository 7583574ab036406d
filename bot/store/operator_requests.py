"""Deletions that an operator asks a running bot for from another process. Functions are part of a transaction."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass

_PREFIX = "forget "
_IS_REQUEST = "name >= 'forget ' AND name < 'forget!'"


@dataclass(frozen=True, slots=True)
class Answer:
    """How many jobs and pictures of the member were forgotten, and how many jobs have yet to end."""

    jobs: int
    pictures: int
    still_open: int


def ask_to_forget(connection: sqlite3.Connection, member_id: int) -> None:
    """Ask the running bot to delete a member's data. A bot that is started later does it, too."""
    connection.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, '')", (f"{_PREFIX}{member_id}",))


def asked_for(connection: sqlite3.Connection) -> list[int]:
    """Return the ids of the members whose data is to be deleted."""
    rows = connection.execute(f"SELECT name FROM facts WHERE {_IS_REQUEST} AND value = ''")
    return [int(row[0].removeprefix(_PREFIX)) for row in rows]


def answer(connection: sqlite3.Connection, member_id: int, found: Answer) -> None:
    """Note that a member's data is deleted, for the process that asks."""
    connection.execute(
        "UPDATE facts SET value = ? WHERE name = ?", (json.dumps(asdict(found)), f"{_PREFIX}{member_id}")
    )


def take_answer(connection: sqlite3.Connection, member_id: int) -> Answer | None:
    """Return the answer and delete it with the request; None if there is none yet."""
    row = connection.execute(
        "DELETE FROM facts WHERE name = ? AND value <> '' RETURNING value", (f"{_PREFIX}{member_id}",)
    ).fetchone()
    return None if row is None else Answer(**json.loads(row[0]))


def drop_answers(connection: sqlite3.Connection) -> None:
    """Delete all answers, with the requests."""
    connection.execute(f"DELETE FROM facts WHERE {_IS_REQUEST} AND value <> ''")
