"""Renders and delivers a dispatched job."""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path

import structlog

from bot.jobs.active import ActiveJob
from bot.jobs.card import Card
from bot.jobs.completion import Completion
from bot.jobs.dispatch import Dispatcher
from bot.jobs.rendering import Rendering
from bot.store import jobs as store
from bot.store.database import Database
from zimage_engine.engine import Engine

log = structlog.get_logger(__name__)


class JobRunner:
    """Renders and completes the jobs that the dispatcher has started."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        dispatcher: Dispatcher,
        completion: Completion,
        image_dir: Path,
        *,
        previews: bool,
    ) -> None:
        self._database = database
        self._engine = engine
        self._dispatcher = dispatcher
        self._completion = completion
        self._image_dir = image_dir
        self._previews = previews

    async def render_and_deliver(self, active: ActiveJob) -> bool:
        """Render a job and deliver it. Returns False if it was withdrawn and has to be dispatched again.

        An unexpected error ends the job in its row, in the log and in a sentence on its card.
        """
        job, card = active.job, active.card
        assert card is not None, "a job is dispatched after its card was shown"
        try:
            return await self._to_end(active, card)
        except Exception:
            error_id = secrets.token_hex(4)
            log.exception("job_failed", job=job.id, error_id=error_id)
            charged = "nothing was charged" if await self._completion.fail(job) else "the operator has been told"
            await card.end_with(f"Something went wrong on my side; {charged}. (error {error_id})")
            return True

    async def _to_end(self, active: ActiveJob, card: Card) -> bool:
        job = active.job
        if active.rendering is None:
            if card.message_id is not None:
                await self._database.write(partial(store.card_shown, job_id=job.id, message_id=card.message_id))
            active.rendering = Rendering(
                job, self._engine, self._database, self._image_dir, card, previews=self._previews
            )
        rendering = active.rendering
        if not active.cancelled:
            if self._dispatcher.is_paused(job.request.guild_id):  # paused since the job was started
                return False
            rendering.submit()
        result = await rendering.finish()
        if rendering.withdrawn and not active.cancelled:
            return False
        self._dispatcher.finish(job.id)  # the owner's next job need not wait for this delivery
        await card.stop()
        if result.pictures:
            await self._completion.deliver(job, card, rendering, result)
        else:
            await self._completion.end_without_pictures(job, card, rendering)
        return True
