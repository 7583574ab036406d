"""Progress cards without Discord."""

from __future__ import annotations

from bot.jobs.job import Job, JobProgress


class RecordingCard:
    """A card that records what it is told to show."""

    message_id = 1

    def __init__(self) -> None:
        self.shown: list[JobProgress] = []
        self.refusals: list[str] = []

    def show(self, progress: JobProgress) -> None:
        self.shown.append(progress)

    async def stop(self) -> None:
        pass

    async def remove(self) -> None:
        pass

    async def end_with(self, sentence: str) -> None:
        self.refusals.append(sentence)


async def show_card(job: Job, progress: JobProgress) -> RecordingCard:
    """Return a card that has shown the first progress."""
    del job
    card = RecordingCard()
    card.show(progress)
    return card
