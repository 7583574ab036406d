"""What a run leaves behind: Discord's record, what members asked for, and the bot's database."""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.helpers.loopback.messages import Entry, Message, shown, versions
from tests.helpers.loopback.places import APPLICATION

READING = "Reading the picture"
"""What the card of an edit says before its job exists."""
CARD = re.compile(r"zib:cancel:j?(\d+)\Z")
RESULT = re.compile(r"zib:more:j(\d+)\Z")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """Something that a member asked for. ``event_id`` is the interaction's or message's id, ``token`` the former's.

    ``prompt`` is None for buttons, which repeat another job's.
    """

    event_id: str
    kind: str
    member_id: str
    channel_id: str
    token: str | None = None
    prompt: str | None = None


@dataclass(frozen=True)
class Evidence:
    """All of it.

    ``cancelled`` are the ids of the jobs whose Cancel button a member pressed, ``refused`` the requests that Discord's
    document does not allow, ``unstopped`` the planned stops that went wrong, both in words.
    """

    record: Sequence[Entry]
    asks: Sequence[Ask]
    cancelled: frozenset[int]
    jobs: Sequence[Row]
    images: Sequence[Row]
    ledger: Sequence[Row]
    integrity: str = "ok"
    open_cards: int = 0
    refused: Sequence[str] = ()
    unstopped: Sequence[str] = ()

    @cached_property
    def messages(self) -> dict[str, list[Message]]:
        """All versions of the bot's messages, by message id."""
        found = versions(self.record)
        return {number: each for number, each in found.items() if each[0].author_id == APPLICATION}

    @cached_property
    def now(self) -> dict[str, Message]:
        """The bot's messages that exist at the end, by id."""
        return {message.id: message for message in shown(self.record) if message.author_id == APPLICATION}

    @cached_property
    def results(self) -> dict[int, list[Message]]:
        """Each job's results: the messages that showed its pictures at any time, in the newest version that did."""
        found: dict[int, list[Message]] = defaultdict(list)
        for all_of_it in self.messages.values():
            with_pictures = [version for version in all_of_it if version.attachments]
            for job, version in {job: each for each in with_pictures for job in jobs_in(each, RESULT)}.items():
                found[job].append(version)
        return found

    @cached_property
    def cards(self) -> dict[int, list[str]]:
        """The ids of the messages that were each job's progress card at any time."""
        found: dict[int, list[str]] = defaultdict(list)
        for number, all_of_it in self.messages.items():
            for job in {job for version in all_of_it for job in jobs_in(version)}:
                found[job].append(number)
        return found

    def card_sentences(self, job_id: int) -> list[Message]:
        """Return the job's former cards that stand in Discord as a sentence, without buttons."""
        cards = [self.now[number] for number in self.cards.get(job_id, []) if number in self.now]
        return [card for card in cards if card.content and not card.custom_ids]

    def answers(self, ask: Ask) -> list[Message]:
        """Return all versions of the bot's messages that answered something, by its interaction or as replies."""
        return [
            version
            for all_of_it in self.messages.values()
            for version in all_of_it
            if (ask.token is not None and version.interaction == ask.token) or version.reference == ask.event_id
        ]


def jobs_in(message: Message, pattern: re.Pattern[str] = CARD) -> set[int]:
    """Return the ids of the jobs that a message's buttons name; by default of those whose card it is."""
    return {int(match[1]) for match in map(pattern.match, message.custom_ids) if match is not None}


def read_evidence(
    database: Path,
    record: Sequence[Entry],
    asks: Sequence[Ask],
    cancelled: frozenset[int],
    refused: Sequence[str] = (),
    unstopped: Sequence[str] = (),
) -> Evidence:
    """Read the bot's database, which no process has open."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row

        def rows(sql: str) -> list[Row]:
            return [dict(row) for row in connection.execute(sql)]

        broken = rows("PRAGMA foreign_key_check")
        return Evidence(
            record,
            asks,
            cancelled,
            rows("SELECT * FROM jobs ORDER BY id"),
            rows("SELECT * FROM images ORDER BY job_id, position"),
            rows("SELECT * FROM ledger WHERE job_id IS NOT NULL ORDER BY id"),
            f"foreign keys: {broken}" if broken else rows("PRAGMA integrity_check")[0]["integrity_check"],
            rows("SELECT count(*) AS number FROM open_cards")[0]["number"],
            refused,
            unstopped,
        )
