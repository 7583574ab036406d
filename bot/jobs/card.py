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

    async def flush(self) -> None:
        """Show the newest state now and wait until that is done: the program is about to end."""
        ...

    async def stop(self) -> None:
        """End the edits and wait for one that is being made: the message may be about to become the result."""
        ...

    async def show_delay(self, sentence: str) -> None:
        """Show that the result has to wait. Raises :class:`bot.jobs.delivery.Outage` and ``Undeliverable``."""
        ...

    async def remove(self) -> None:
        """Delete the card.

        Raises :class:`bot.jobs.delivery.Outage` if Discord does not answer. A card that is gone is no error.
        """
        ...

    async def tell(self, sentence: str) -> None:
        """Replace the card's text with the prompt and a sentence, or send them if there is no card any more.

        Doing so again changes nothing. Raises :class:`bot.jobs.delivery.Outage` if Discord does not answer, and
        :class:`bot.jobs.delivery.Undeliverable` if the owner cannot be reached.
        """
        ...

    async def tell_cancelled(self, note: str, charged: int, *, known: bool) -> None:
        """Replace the card's text with the note of a cancelled job, its prompt and what it cost (1/100 credit).

        If the card is gone, the owner is told directly, unless it is ``known`` to them. Raises
        :class:`bot.jobs.delivery.Outage` if Discord does not answer, and :class:`bot.jobs.delivery.Undeliverable` if
        the owner cannot be reached.
        """
        ...


class NoteCard(Protocol):
    """Writes the id of the message that is a job's card from now on."""

    async def __call__(self, message_id: int, *, moved: bool) -> None:
        """``moved``: it is an ordinary message that has taken the place of an interaction's response."""
        ...


ShowCard = Callable[[Job, JobProgress], Awaitable[Card]]
"""Shows the card of a job that was just inserted. What it raises cancels the job."""
