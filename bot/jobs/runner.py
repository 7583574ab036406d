"""Renders a dispatched job, then has its result delivered."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

import structlog

from bot.errors import Refusal, is_disk_full
from bot.jobs.active import ActiveJob
from bot.jobs.answering import Answering
from bot.jobs.card import Card
from bot.jobs.completion import Completion
from bot.jobs.delivery import Outage, Undeliverable
from bot.jobs.delivery_loop import DeliveryLoop
from bot.jobs.dispatch import Dispatcher
from bot.jobs.rendering import DISK_FULL, Rendering
from bot.requests.originals import OriginalFolder
from bot.requests.pricing import Prices
from bot.store import jobs as store
from bot.store import recovery
from bot.store.database import Database
from zimage_engine.engine import Engine
from zimage_engine.types import DeviceLost

log = structlog.get_logger(__name__)

Outcome = Literal["ended", "withdrawn", "kept"]
"""``withdrawn``: it has to be dispatched again. ``kept``: it goes on in another process."""
GIVEN_UP = (
    f"I had to restart {recovery.ATTEMPTS_MAX} times while this was being generated, so I have given it up. "
    "Nothing was charged."
)

_STUCK = (
    "My disk is full, so I cannot even note how this went. Once my operator has made room it goes on by itself, or "
    "ends without a charge."
)


class JobRunner:
    """Renders the jobs that the dispatcher has started, and hands them to the delivery loop."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        prices: Prices,
        dispatcher: Dispatcher,
        completion: Completion,
        deliveries: DeliveryLoop,
        originals: OriginalFolder,
        image_dir: Path,
        answering: Answering,
        *,
        previews: bool,
        server_weights: Mapping[int, float],
    ) -> None:
        self._database = database
        self._engine = engine
        self._prices = prices
        self._dispatcher = dispatcher
        self._completion = completion
        self._deliveries = deliveries
        self._originals = originals
        self._image_dir = image_dir
        self._answering = answering
        self._previews = previews
        self._server_weights = server_weights

    async def render_and_deliver(self, active: ActiveJob) -> Outcome:
        """Render a job and make the first attempt to deliver it.

        An unexpected error ends the job in its row, in the log and in a sentence on its card. If not even its row can
        be changed, the delivery loop takes the job up again later.
        """
        job, card = active.job, active.card
        assert card is not None, "a job is dispatched after its card was shown"
        try:
            outcome = await self._render(active, card)
        except Exception as error:
            error_id = secrets.token_hex(4)
            log.exception("job_failed", job=job.id, error_id=error_id)
            full = is_disk_full(error)
            what = DISK_FULL if full else "Something went wrong on my side."
            if not await self._completion.fail(job, f"{what} Nothing was charged. (error {error_id})"):
                if full:
                    await self._tell_of_full_disk(card)
                return "ended"
            outcome = "ended"
        if outcome == "ended":
            self._dispatcher.finish(job.id)  # the owner's next job need not wait for this delivery
            await card.stop()
            await self._deliveries.turn(job.id, card)
        return outcome

    async def _tell_of_full_disk(self, card: Card) -> None:
        """Say on the card why the job does not go on: not even its row can be changed."""
        await card.stop()  # an edit to an older state would replace the sentence
        with suppress(Outage, Undeliverable):
            await card.show_delay(_STUCK)

    async def _render(self, active: ActiveJob, card: Card) -> Outcome:
        if active.rendering is None:
            spec = active.job.request.spec
            try:
                if spec.original and not active.cancelled:
                    await asyncio.to_thread(self._originals.check, spec.original, spec.mask)
            except Refusal as refusal:
                await self._completion.end(active.job, "failed", refusal.code, f"{refusal} Nothing was charged.")
                return "ended"
            active.rendering = Rendering(
                active.job,
                self._engine,
                self._prices,
                self._database,
                self._originals,
                self._image_dir,
                card,
                self._answering,
                previews=self._previews,
                server_weight=self._server_weights.get(active.job.request.scope_id, 1.0),
                images=active.images,
            )
        rendering = active.rendering
        if not active.cancelled:
            if self._dispatcher.is_paused(active.job.request.guild_id):  # paused since the job was started
                return "withdrawn"
            rendering.submit()
        await rendering.finish()
        if rendering.withdrawn and not active.cancelled:
            return "withdrawn"
        if rendering.stopped is not None and not active.cancelled:
            return await self._keep(active, rendering)
        await rendering.end_rest()
        if rendering.images_done:
            await self._database.write(partial(store.rendered, job_id=active.job.id, now=_now()))
        else:
            await self._completion.end_without_pictures(active.job, rendering.error, active.cancelled)
        return "ended"

    async def _keep(self, active: ActiveJob, rendering: Rendering) -> Outcome:
        """Leave a job to the next process. It counts as an attempt if the device was lost with the job on it."""
        lost = isinstance(rendering.stopped, DeviceLost) and rendering.started
        requeue = partial(recovery.requeue, job_id=active.job.id, now=_now(), count_attempt=lost, given_up=GIVEN_UP)
        return "ended" if await self._database.write(requeue) else "kept"


def _now() -> int:
    return int(time.time())
