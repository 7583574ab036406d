"""Progress cards without Discord."""

from __future__ import annotations

from bot.jobs.card import NoteCard
from bot.jobs.delivery import Destination
from bot.jobs.job import Job, JobProgress
from bot.store.job_rows import JobRow
from bot.store.open_cards import OpenCard


class RecordingCard:
    """A card that records what it is told to show."""

    message_id = 1

    def __init__(self) -> None:
        self.shown: list[JobProgress] = []
        self.refusals: list[str] = []
        self.removed = False

    def show(self, progress: JobProgress) -> None:
        self.shown.append(progress)

    async def flush(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def show_delay(self, sentence: str) -> None:
        self.refusals.append(sentence)

    async def remove(self) -> None:
        self.removed = True

    async def tell_cancelled(self, note: str, charged: int, *, known: bool) -> None:
        self.refusals.append(f"{note}, {charged}")

    async def tell(self, sentence: str) -> None:
        self.refusals.append(sentence)


class NoOutbox:
    """Restores cards that record, and has no destinations."""

    def __init__(self) -> None:
        self.restored: dict[int, RecordingCard] = {}

    def destinations(self, job: Job, card_message_id: int | None) -> list[Destination]:
        raise AssertionError("nothing is rendered here")

    def restore_card(self, job: Job, row: JobRow, note_card: NoteCard) -> RecordingCard:
        return self.restored.setdefault(job.id, RecordingCard())

    async def end_open_card(self, card: OpenCard, draft_id: int) -> None:
        raise AssertionError("no card is open here")


async def show_card(job: Job, progress: JobProgress) -> RecordingCard:
    """Return a card that has shown the first progress."""
    del job
    card = RecordingCard()
    card.show(progress)
    return card
