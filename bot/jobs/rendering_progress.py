"""How far a job is on the engine: collected from the events of its images, for its card and for ``/queue``."""

from __future__ import annotations

import time

from bot import metrics
from bot.jobs.job import Job, JobProgress
from zimage_engine.engine import Engine
from zimage_engine.types import Queued, RawImage, Step

_PACE_SECONDS = 3.0
"""How long a job must have been on the device before its own speed says when it is ready."""


class RenderingProgress:
    """The newest position, steps and previews of one job's images.

    ``steps`` are the steps run so far, by image; ``images_done`` counts the rendered images. ``started`` is True once a
    step of one of them was run, ``cancelling`` once the job was cancelled on the engine.
    """

    def __init__(self, job: Job, engine: Engine, *, restarted: bool) -> None:
        self._engine = engine
        self._steps_of_each = job.request.spec.real_steps
        self._restarted = restarted
        self._positions: dict[int, int] = {}
        self._ready_at: dict[int, float | None] = {}
        self._first_eta: dict[int, tuple[float, float]] = {}
        self._pace: tuple[float, int] | None = None
        self._previews: dict[int, RawImage] = {}
        self.steps = [0] * job.request.count
        self.images_done = 0
        self.started = False
        self.cancelling = False

    @property
    def steps_done(self) -> int:
        return sum(self.steps)

    @property
    def steps_total(self) -> int:
        return len(self.steps) * self._steps_of_each

    def image_queued(self, image: int, event: Queued) -> None:
        """Note where an image waits on the engine."""
        if event.eta is not None:
            self._first_eta.setdefault(image, (time.monotonic(), event.eta))
        self._positions[image] = event.position
        self._ready_at[image] = time.time() + event.eta if event.eta is not None else None

    def image_stepped(self, image: int, event: Step) -> None:
        """Note a step. An image whose worker was replaced begins again, with fewer steps than before."""
        if self._pace is None or event.done < self.steps[image]:
            self._pace = (time.monotonic(), self.steps_done - self.steps[image] + event.done)
        self.steps[image] = event.done
        if event.preview is not None:
            self._previews[image] = event.preview

    def image_rendered(self, image: int) -> None:
        if (told := self._first_eta.pop(image, None)) is not None and told[1] > 0:
            metrics.ETA_RATIO.observe((time.monotonic() - told[0]) / told[1])
        self.images_done += 1
        self.steps[image] = self._steps_of_each

    def withdrawn(self) -> None:
        """Forget positions and times: the job was taken back from the engine."""
        self._positions.clear()
        self._ready_at.clear()
        self._first_eta.clear()

    def current(self) -> JobProgress:
        """Return what to show of the job now. The position is that of its first image, the time that of its last."""
        if self.cancelling:
            return JobProgress("cancelling")
        position = min(self._positions.values(), default=None)
        if not self.started or self._engine.state == "recovering":
            return on_engine(self._engine, position, self._expected_at(), restarted=self._restarted)
        return JobProgress(
            "running",
            ready_at=self._expected_at(),
            steps_done=self.steps_done,
            steps_total=self.steps_total,
            images_done=self.images_done,
            previews=tuple(preview for _, preview in sorted(self._previews.items())),
        )

    def _expected_at(self) -> float | None:
        """Return when the last image is expected, in UTC seconds: by the job's own pace, else by the engine."""
        if self._pace is not None:
            began, first = self._pace
            seconds, steps = time.monotonic() - began, self.steps_done - first
            if steps > 0 and seconds >= _PACE_SECONDS:
                return time.time() + seconds / steps * (self.steps_total - self.steps_done)
        known = [at for at in self._ready_at.values() if at is not None]
        return max(known) if known and len(known) == len(self._ready_at) else None


def on_engine(engine: Engine, position: int | None, ready_at: float | None, *, restarted: bool) -> JobProgress:
    """Return the progress of a job that waits for the engine, which may be loading the model (again)."""
    state = engine.state
    if state in ("loading", "recovering"):
        since, stage = engine.loading_since, engine.stage
        return JobProgress(state, position, restarted=restarted, since=since, stage=stage)
    return JobProgress("queued", position, ready_at, restarted=restarted)
