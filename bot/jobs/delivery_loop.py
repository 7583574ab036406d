"""One loop over everything that is due in Discord: results to post, and cards of ended jobs to end.

A job's first delivery is its first turn; later turns come when the row's ``due_at`` has passed. The loop also takes up
jobs that are open in the database and that nothing in memory works on, such as those left when a disk was full.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog

from bot.jobs.answering import Answering
from bot.jobs.card import Card
from bot.jobs.completion import Completion
from bot.jobs.delivery import Outage
from bot.requests.drafts import Draft, keep_draft
from bot.store import job_rows, open_cards
from bot.store import jobs as store
from bot.store.database import Database
from bot.store.job_states import State
from bot.store.open_cards import OpenCard

log = structlog.get_logger(__name__)

_TURNS_MAX = 8
"""The most turns at once: each holds a result's pictures in memory."""
CHECK_SECONDS = 5.0
"""The time between two checks."""
_PAGE = 100

Adopt = Callable[[Mapping[int, State]], Awaitable[None]]
"""Called with the states of the jobs that should be worked on, by id: takes up those that nobody works on."""


class DeliveryLoop:
    """Takes turns for jobs: see :meth:`bot.jobs.completion.Completion.turn`. One turn at a time for each job.

    The client calls :meth:`check` every :data:`CHECK_SECONDS`.
    """

    def __init__(self, database: Database, completion: Completion, adopt: Adopt, answering: Answering) -> None:
        self._database = database
        self._completion = completion
        self._adopt = adopt
        self._answering = answering
        self._turns: dict[int, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_TURNS_MAX)
        self._left_over: set[int] = set()
        self._ending_left_over: asyncio.Task[None] | None = None
        self._started = self._closed = False

    @property
    def job_ids(self) -> set[int]:
        """The ids of the jobs whose turn it is."""
        return set(self._turns)

    async def prepare(self) -> None:
        """Read which cards of an ended process have no job. Call it before the first command is handled."""
        self._left_over = {card.event_id for card in await self._database.read(open_cards.left_over)}

    def start(self) -> None:
        """Let turns be taken from now on: the client knows its servers and channels.

        First turns before that are left to the first check.
        """
        self._started = True

    async def turn(self, job_id: int, card: Card | None = None) -> None:
        """Take a turn for a job and wait until it has ended; or for the one that is going on."""
        if not self._started or self._closed:
            return
        await asyncio.wait([self._begin(job_id, card)])

    async def check(self) -> None:
        """Begin the turns that are due, and take up what nothing works on."""
        if not self._started or self._closed:
            return
        try:
            to_do = await self._database.read(partial(job_rows.to_do, now=int(time.time()), at_most=_PAGE))
            for job_id in to_do.due:
                self._begin(job_id)
            await self._adopt(to_do.in_progress)
            await self._begin_left_over()
        except Exception:
            log.exception("check_failed")

    async def close(self, seconds: float) -> None:
        """Start no more turns, and wait up to ``seconds`` for those that are going on; then cancel them."""
        self._closed = True
        tasks = set(self._turns.values())
        if self._ending_left_over is not None and not self._ending_left_over.done():
            tasks.add(self._ending_left_over)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            log.warning("job_left_unfinished", task=task.get_name())
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _begin(self, job_id: int, card: Card | None = None) -> asyncio.Task[None]:
        """Return the task of the job's turn, started if it is not going on."""
        task = self._turns.get(job_id)
        if task is None:
            task = self._turns[job_id] = asyncio.create_task(self._take_turn(job_id, card), name=f"delivery-{job_id}")
            task.add_done_callback(lambda _: self._turns.pop(job_id, None))
        return task

    async def _take_turn(self, job_id: int, card: Card | None) -> None:
        async with self._slots:
            await self._answering.give_way()
            try:
                await self._completion.turn(job_id, card)
            except store.StateError as error:  # such as a job that its owner had deleted meanwhile
                log.info("turn_not_needed", job=job_id, reason=str(error))
            except Exception:
                log.exception("turn_failed", job=job_id)

    async def _begin_left_over(self) -> None:
        """Begin to end the cards without a job, in a task of their own: while Discord is down, each of them takes long.

        Their rows are read again, because a member may have had their data deleted meanwhile.
        """
        if not self._left_over:
            return
        cards = await self._database.read(open_cards.left_over)
        if self._ending_left_over is not None and not self._ending_left_over.done():
            return
        self._left_over &= {card.event_id for card in cards}
        left = [card for card in cards if card.event_id in self._left_over]
        self._ending_left_over = asyncio.create_task(self._end_left_over(left), name="open-cards")

    async def _end_left_over(self, cards: list[OpenCard]) -> None:
        """Tell the members whose requests were lost before they became jobs. The next check repeats what fails."""
        for card in cards:
            try:
                draft = Draft.from_json(card.draft) if card.draft is not None else Draft(card.prompt, picture="")
                draft_id = await keep_draft(self._database, card.owner_id, draft)
                await self._completion.outbox.end_open_card(card, draft_id)
                await self._database.write(partial(open_cards.close, event_id=card.event_id))
            except Exception as error:
                log.warning("open_card_not_ended", source=card.event_id, exc_info=not isinstance(error, Outage))
            else:
                self._left_over.discard(card.event_id)
