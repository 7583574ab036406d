"""Exports and deletions for people who have no Discord any more: their requests come to the operator.

The same code as for ``/privacy``, from a process that is not the bot's.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

import structlog

from bot.privacy.privacy import Privacy
from bot.requests.originals import OriginalFolder
from bot.store import operator_requests, recovery
from bot.store.database import Database
from bot.store.operator_requests import Answer

log = structlog.get_logger(__name__)


class OperatorRequests:
    """Deletes in the running bot what an operator asks for by ``zimage-bot forget``."""

    def __init__(self, database: Database, privacy: Privacy) -> None:
        self._database = database
        self._privacy = privacy
        self._task: asyncio.Task[None] | None = None
        self._dropped_answers = False

    async def check(self) -> None:
        """Begin what is asked for, in a task of its own. The client calls it regularly; what fails is logged."""
        if self._task is not None and not self._task.done():
            return
        try:
            if not self._dropped_answers:  # those that nobody has waited for
                await self._database.write(operator_requests.drop_answers)
                self._dropped_answers = True
            members = await self._database.read(operator_requests.asked_for)
        except Exception:
            log.exception("operator_requests_not_read")
            return
        if members:
            self._task = asyncio.create_task(self._forget(members), name="operator-requests")

    async def close(self) -> None:
        """Cancel a deletion that is going on. The next start begins it again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _forget(self, members: list[int]) -> None:
        for member_id in members:
            try:
                removed = await self._privacy.forget(member_id)
                found = Answer(removed.jobs, removed.pictures, removed.still_open)
                await self._database.write(partial(operator_requests.answer, member_id=member_id, found=found))
            except Exception:
                log.exception("operator_request_failed", user=member_id)


class NoJobs:
    """What :class:`Privacy` asks of jobs, in a process that runs none."""

    def __init__(self, original_dir: Path) -> None:
        self.originals = OriginalFolder(original_dir)
        self.live: set[int] = set()
        self.cancellation = self

    async def cancel_all_of(self, member_id: int) -> int:
        del member_id
        return 0

    def forget_prompts(self, member_id: int) -> None:
        del member_id


async def forget_here(database: Database, privacy: Privacy, member_id: int) -> Answer:
    """Delete a member's data while no bot runs; their open jobs are ended, too."""
    removed = await privacy.forget(member_id)
    await database.write(partial(recovery.end_forgotten, now=int(time.time())))
    left = await privacy.forget_rest(member_id, 0)
    return Answer(removed.jobs + removed.still_open - left, removed.pictures, left)


async def forget_in_bot(database: Database, member_id: int, seconds: float) -> Answer | None:
    """Ask the running bot to delete a member's data. Returns None if it has not answered within ``seconds``."""
    await database.write(partial(operator_requests.ask_to_forget, member_id=member_id))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = await database.write(partial(operator_requests.take_answer, member_id=member_id))
        if found is not None:
            return found
        await asyncio.sleep(0.25)
    return None
