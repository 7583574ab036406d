"""The real program is killed in the middle of jobs and loses its database; a backup of just before brings it back.

Marked ``system``: it starts the program twice and generates pictures, which takes some 20 seconds.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.store.full_backups import make_backup
from bot.store.restore import Restored, restore
from tests.e2e.checks import Report, check
from tests.e2e.crash import CrashRun
from tests.helpers.waiting import until

pytestmark = pytest.mark.system


class RestoreRun(CrashRun):
    """Members ask; a backup is made while some jobs are open; the bot goes on, is killed, and its database is lost."""

    async def back_up_and_lose(self, asks: int) -> Restored:
        data = self._folder / "data"
        await self._discord.start(0)
        await self._bot.start()
        await self._ask(asks, 0.2)
        await until(lambda: self._open_jobs().get("queued", 0) >= 2, 30.0)
        backup = await asyncio.to_thread(make_backup, data, self._folder / "backups")
        left = sum(self._open_jobs().values())
        # Some results are posted after the backup, which knows nothing of them.
        await until(lambda: sum(self._open_jobs().values()) <= left - 2, 60.0)
        self._bot.kill()
        await self._bot.ended()
        self._bot.database.write_bytes(b"\xff" * 20_000)
        restored = await asyncio.to_thread(restore, backup, data)
        with closing(sqlite3.connect(self._bot.database)) as database:
            known = {str(row[0]) for row in database.execute("SELECT source_id FROM jobs")}
        self._progress.asks[:] = [ask for ask in self._progress.asks if ask.event_id in known]  # those of the backup
        return restored

    async def go_on(self) -> Report:
        """Start the bot on the restored data, wait until it is quiet, and check everything."""
        try:
            await self._bot.start()
            await self._until_quiet()
            await self._stop()
        finally:
            self._bot.kill()
            await self._discord.stop()
        return check(self._evidence(), 1)


async def test_nothing_that_a_backup_has_is_lost_and_nothing_comes_twice(tmp_path: Path) -> None:
    run = RestoreRun(tmp_path, 0, [], seed=3)
    run._progress.jobs_left = 12
    restored = await run.back_up_and_lose(12)
    assert restored.jobs >= 8
    assert restored.damaged == 0
    report = await run.go_on()
    # What was asked for after the backup is in no database any more; its cards stay as they were.
    assert [fault for fault in report.wrong if "(unknown)" not in fault] == []
    assert report.duplicates == report.lost == report.reserved == 0
    assert report.jobs >= restored.jobs
