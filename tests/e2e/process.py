"""The bot as a child process that is killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from tests.helpers.loopback import TOKEN, Loopback
from tests.helpers.waiting import until

ROOT = Path(__file__).parents[2]
_START_SECONDS = 90.0
STOP_SECONDS = 15.0
_SETTINGS = {
    "DISCORD_TOKEN": TOKEN,
    "PROFILE": "demo",
    "DEVICE": "cpu",
    "PROGRESS_INTERVAL": "0.2",
    "CREDITS_PER_DAY": "unlimited",
    "CONCURRENT_JOBS": "2",
    "QUEUED_JOBS": "unlimited",
    "CEILING_QUEUE_LENGTH": "unlimited",
}


class BotProcess:
    """``zimage-bot run`` with the demo model, connected to a loopback Discord.

    Everything of it lies in ``folder``: its data, and ``bot.log`` with what all processes have printed. ``module`` is
    the launcher.
    """

    def __init__(self, discord: Loopback, folder: Path, module: str = "tests.helpers.launch_bot") -> None:
        self._discord = discord
        self._module = module
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self.database = folder / "data" / "zimage.sqlite3"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """The number of the process that was started last."""
        assert self._process is not None, "it was never started"
        return self._process.pid

    @property
    def log(self) -> str:
        """What all processes have printed so far."""
        return (self._folder / "bot.log").read_text(encoding="utf-8")

    async def start(self, crash: str | None = None, **more: str) -> None:
        """Start the bot, and wait until it is connected or has died. ``crash`` is the launcher's ``CRASH``.

        ``more`` are further environment variables.
        """
        environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"} | _SETTINGS
        environment |= {"LOOPBACK": self._discord.base, "DATA_DIR": str(self._folder / "data")} | more
        if crash is not None:
            environment["CRASH"] = crash
        with (self._folder / "bot.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._module,
                cwd=self._folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await until(lambda: self._discord.ready or not self.running, _START_SECONDS)

    def kill(self) -> None:
        """Send SIGKILL. The bot may be dead already."""
        self.send(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM. The bot may be dead already."""
        self.send(signal.SIGTERM)

    async def ended(self, seconds: float = STOP_SECONDS) -> int:
        """Wait until the process has ended and Discord has noticed. Returns its status. Raises TimeoutError."""
        assert self._process is not None, "it was never started"
        status = await asyncio.wait_for(self._process.wait(), seconds)
        await until(lambda: not self._discord.ready)
        return status

    def send(self, number: signal.Signals) -> None:
        """Send a signal. The bot may be dead already."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
