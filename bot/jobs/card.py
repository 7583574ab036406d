"""A job's progress card, as jobs see it. ``bot/views/progress.py`` implements it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from bot.jobs.job import Job, JobProgress


class Card(Protocol):
    """A message that shows a job's newest progress until it ends."""

    @property
    def message_id(self) -> int | None:
        """The id of the message in Discord; None if it is not known."""
        ...

    def show(self, progress: JobProgress) -> None:
        """Show this state soon, without waiting for it. States that are replaced before that are skipped."""
        ...

    async def stop(self) -> None:
        """End the edits and wait for one that is being made: the message may be about to become the result."""
        ...

    async def remove(self) -> None:
        """Delete the card: the result is posted elsewhere."""
        ...

    async def end_with(self, sentence: str) -> None:
        """End the card with a sentence instead of a result, visible to the owner alone if Discord allows that."""
        ...


ShowCard = Callable[[Job, JobProgress], Awaitable[Card]]
"""Shows the card of a job that was just inserted. What it raises cancels the job."""
