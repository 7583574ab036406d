"""``zimage-bot playground`` as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from tests.helpers.waiting import until

ROOT = Path(__file__).parents[2]
_START_SECONDS = 60.0
_END_SECONDS = 20.0


class PlaygroundProcess:
    """A running playground with the demo model. Its temporary files and its log lie in ``folder``."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._log = folder / "playground.log"
        self._temporary = folder / "tmp"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """Seconds of CPU that the process and its children have taken: other processes matter little to it."""
        process, total = psutil.Process(self.pid), 0.0
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):  # a child may end at this moment
                times = each.cpu_times()
                total += times.user + times.system
        return total

    @property
    def printed(self) -> str:
        """What the process has printed so far."""
        return self._log.read_text(encoding="utf-8")

    @property
    def folders(self) -> list[Path]:
        """The temporary folders of the bot."""
        return list(self._temporary.glob("zimage-*"))

    async def link(self) -> str:
        """Wait for the printed link. Returns it."""
        await self.until_printed("in a browser")
        found = re.search(r"http://\S+", self.printed)
        assert found, self.printed
        return found.group()

    async def until_printed(self, text: str) -> None:
        """Wait until the process has printed ``text``; fails the test with what it printed if it does not."""
        await until(lambda: text in self.printed or self._process.returncode is not None, _START_SECONDS)
        assert text in self.printed, self.printed

    async def interrupt(self) -> tuple[int, float, list[int]]:
        """Press Ctrl-C and wait for the end. Returns the status, the seconds it took, and the children left."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        began = time.monotonic()
        self._process.send_signal(signal.SIGINT)
        status = await asyncio.wait_for(self._process.wait(), _END_SECONDS)
        took = time.monotonic() - began
        return status, took, [child.pid for child in children if child.is_running()]

    async def kill(self) -> None:
        """End the process whatever it does. It may have ended already."""
        if self._process.returncode is None:
            for child in psutil.Process(self._process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def open_process(folder: Path, **settings: str) -> AsyncIterator[PlaygroundProcess]:
    """Start ``zimage-bot playground --no-open`` with the settings; kills it at the end if it still runs."""
    (folder / "tmp").mkdir()
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    environment |= {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "TMPDIR": str(folder / "tmp")} | settings
    with (folder / "playground.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bot", "playground", "--no-open"),
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    playground = PlaygroundProcess(process, folder)
    try:
        yield playground
    finally:
        await playground.kill()
