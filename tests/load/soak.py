"""The bot for a long time while a part of everything fails: does it keep more and more of anything?

    python -m tests.load.soak --minutes 30 --faults 0.05 --folder build/soak

Members ask at a steady pace, over real sockets and with a device that takes almost no time (see
``tests/load/launch_bot.py``). That part of the pictures fails on the device. Of Discord's answers to messages and edits
a third of that part is lost after it took effect, a third is a 503, and a third comes two seconds late. Every minute
the gateway's connection breaks. ``samples.jsonl`` in the folder is the log; ``--check FOLDER`` judges one again. The
last line says how much memory, handles, threads and tasks grew in the second half, the exit status whether that is
little enough.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from tests.e2e.process import BotProcess
from tests.helpers.loopback import Fault, Loopback
from tests.helpers.loopback.places import crowd, text_channels
from tests.helpers.waiting import until
from tests.load.samples import Sample, read_samples

BOUNDS = {"rss": 0.03, "handles": 2.0, "threads": 1.0, "tasks": 4.0}
"""How much each may grow from the middle to the end: ``rss`` as a part of it, the others in numbers."""
_MEMBERS, _CHANNELS = 50, 10
_STATES = "SELECT state, count(*) FROM jobs GROUP BY state"
_OPEN = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running', 'rendered', 'delivering')"
_SAID_SECONDS = 60.0
_QUIET_SECONDS = 90.0
"""How long the last results may take: the second attempt to post one comes ten seconds later, the third a minute."""


class Soak:
    """A bot, its Discord, and members who ask ``per_second`` times a second."""

    def __init__(self, folder: Path, faults: float, per_second: float, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._faults, self._per_second = faults, per_second
        self._discord = Loopback(checking=False, seed=seed)
        self._members, self._channels = crowd(_MEMBERS), text_channels(_CHANNELS)
        self._discord.state.channels |= {channel.id: channel for channel in self._channels}
        self.samples = folder / "samples.jsonl"
        self.bot = BotProcess(self._discord, folder, "tests.load.launch_bot")

    async def run(self, seconds: float) -> dict[str, int]:
        """Run for so long. Returns the numbers of jobs by state at the end."""
        await self._discord.start()
        try:
            await self.bot.start(
                SAMPLES=str(self.samples), FAILING=str(self._faults), PROGRESS_INTERVAL="1.5",
                CREDITS_PER_DAY="unlimited", RETENTION_DAYS="1",
            )  # fmt: skip
            await until(lambda: "model_ready" in self.bot.log)
            self._disturb()
            await self._ask(seconds)
            self._discord.faults.clear()
            await until(lambda: not self._rows(_OPEN)[0][0], _QUIET_SECONDS)
            states = dict(self._rows(_STATES))
            self.bot.terminate()
            await self.bot.ended()
        finally:
            self.bot.kill()
            await self._discord.stop()
        return states

    def _disturb(self) -> None:
        part = self._faults / 3
        for path in (r"channels/\d+/messages", r"webhooks/.*", r"interactions/.*"):
            self._discord.faults.add(Fault("POST|PATCH", path, times=None, rate=part, drop="after"))
            self._discord.faults.add(Fault("POST|PATCH", path, times=None, rate=part, status=503))
            self._discord.faults.add(Fault("POST|PATCH", path, times=None, rate=part, seconds=2.0))

    async def _ask(self, seconds: float) -> None:
        began = said = broken = time.monotonic()
        number = 0
        while (now := time.monotonic()) < began + seconds:
            number += 1
            await self._discord.command(
                "imagine",
                channel=self._random.choice(self._channels).id,
                member=self._random.choice(self._members),
                prompt=f"a red circle on a blue background, number {number}",
                steps=4,
            )
            if now - said > _SAID_SECONDS:
                said = now
                print(f"{now - began:6.0f} s  {number} asked; {summary(read_samples(self.samples)[-1:])}", flush=True)
                self._forget()
            if now - broken > _SAID_SECONDS:
                broken = now
                await self._discord.gateway.disconnect()
            await asyncio.sleep(self._random.expovariate(self._per_second))

    def _forget(self) -> None:
        """Drop what this process keeps of the past, so that it does not run out of memory itself."""
        self._discord.calls.clear()
        self._discord.state.record.clear()
        old = list(self._discord.state.files)[:-1000]
        for name in old:
            del self._discord.state.files[name]

    def _rows(self, sql: str) -> list[tuple[object, int]]:
        with closing(sqlite3.connect(f"file:{self.bot.database}?mode=ro", uri=True)) as database:
            return database.execute(sql).fetchall()


def growth(samples: Sequence[Sample]) -> dict[str, float]:
    """Return by how much each figure of :data:`BOUNDS` grew in the second half: the slope of a line times its length.

    Memory is a part of the mean, the others are numbers.
    """
    half = samples[len(samples) // 2 :]
    at = np.array([sample.at for sample in half])
    found: dict[str, float] = {}
    for name in BOUNDS:
        values = np.array([getattr(sample, name) for sample in half], dtype=float)
        slope = np.polyfit(at - at[0], values, 1)[0] * (at[-1] - at[0])
        found[name] = float(slope / values.mean()) if name == "rss" else float(slope)
    return found


def faults_of(samples: Sequence[Sample]) -> list[str]:
    """Return in words what grew by more than its bound."""
    return [f"{name} grew by {by:.3g}" for name, by in growth(samples).items() if by > BOUNDS[name]]


def summary(samples: Sequence[Sample]) -> str:
    """Return the medians of the samples in one line."""
    medians = {name: np.median([getattr(sample, name) for sample in samples]) for name in BOUNDS}
    rest = ", ".join(f"{value:.0f} {name}" for name, value in medians.items() if name != "rss")
    return f"{medians['rss'] / 1e6:.0f} MB, {rest}"


def main() -> int:
    """Run, or judge the log of a run. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--faults", type=float, default=0.05)
    parser.add_argument("--per-second", type=float, default=3.0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--check", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.check or options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if options.check is None:
            print(asyncio.run(Soak(folder, options.faults, options.per_second).run(options.minutes * 60)))
        samples = read_samples(folder / "samples.jsonl")
    wrong = faults_of(samples)
    grown = ", ".join(f"{name} {by:+.3g}" for name, by in growth(samples).items())
    print(f"{len(samples)} samples; second half: {summary(samples[len(samples) // 2 :])}; growth: {grown}")
    print("ok" if not wrong else "FAILED: " + "; ".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
