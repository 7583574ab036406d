"""What is kept in memory of a job that has not ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from bot.jobs.card import Card
from bot.jobs.job import Job
from bot.jobs.rendering import Rendering
from bot.store.job_rows import ImageRow
from bot.store.job_states import CancelCause
from zimage_engine.handle import Handle


@dataclass(slots=True)
class ActiveJob:
    """A job between its insertion and its end.

    ``card`` is None until it is shown, ``rendering`` until the job first goes to the engine. ``images`` are those of
    its row if it was interrupted. ``cancelled`` says why it is to be cancelled, None if it is not. ``forget_prompts``
    is whether its owner's prompts are to be forgotten once more when it has ended. ``task`` renders and delivers it;
    ``ended`` is set when nothing of it is left to do here.
    """

    job: Job
    card: Card | None = None
    images: tuple[ImageRow, ...] = ()
    rendering: Rendering | None = None
    cancelled: CancelCause | None = None
    forget_prompts: bool = False
    task: asyncio.Task[None] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def restarted(self) -> bool:
        """True if it was interrupted and goes on in this process."""
        return bool(self.images)

    @property
    def handles(self) -> list[Handle]:
        """The engine's handles of its images; empty while it is not on the engine."""
        return self.rendering.handles if self.rendering is not None else []

    @property
    def on_engine(self) -> bool:
        """True while the engine has its images, or has ended them."""
        return self.rendering is not None and self.rendering.on_engine

    @property
    def pictures_left(self) -> int:
        """The number of its images that have not ended on the engine."""
        if self.rendering is None:
            return self.job.request.count
        return self.rendering.pictures_left

    @property
    def started(self) -> bool:
        """True once a step of one of its images was run."""
        return self.rendering is not None and self.rendering.started
