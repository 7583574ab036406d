"""The proof that no job is lost: the real program on a loopback Discord, killed and started again and again.

    python -m tests.e2e.crash --jobs 200 --restarts 30 --seed 1

Members ask for pictures in every way while the bot is killed around each change of a job's state, and stopped. When
everything is quiet, Discord's record and the database are checked. The last line says what came out, the exit status
whether it was right. A run that was interrupted goes on with the same ``--folder``; ``--check FOLDER`` checks once more
what a run has left.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import pickle
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tests.e2e.checks import Report, check
from tests.e2e.crowd import Crowd
from tests.e2e.evidence import Ask, Evidence, read_evidence
from tests.e2e.moments import REQUESTS, Moment, moments
from tests.e2e.process import STOP_SECONDS, BotProcess
from tests.helpers.loopback import Call, Fault, Loopback

_POST = r"channels/\d+/messages"
_LOST_ANSWERS, _OUTAGES = 0.08, 0.03
"""How probable it is that a message is posted and its answer lost, and that Discord answers 503 instead."""
_QUIET_SECONDS = 2.0
_LAST_SECONDS = 300.0
_MOMENT_SECONDS = 12.0
_SAID_SECONDS = 10.0
_OPEN = "SELECT state, count(*) FROM jobs WHERE state IN ('queued', 'running', 'rendered', 'delivering') GROUP BY state"


@dataclass
class Progress:
    """Where a run is between two lives of the bot; what it takes to go on in another process.

    ``died`` counts how the lives ended, ``unstopped`` are the planned stops that went wrong.
    """

    jobs_left: int
    lives: int = 0
    port: int = 0
    asks: list[Ask] = field(default_factory=list)
    cancelled: set[int] = field(default_factory=set)
    died: Counter[str] = field(default_factory=Counter)
    unstopped: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    randomness: object = None
    discord: dict[str, Any] = field(default_factory=dict)


class CrashRun:
    """One run: the Discord, the bot's lives, and the members. Each of ``plan`` ends one life of the bot.

    ``settings`` are further environment variables of the bot.
    """

    def __init__(self, folder: Path, jobs: int, plan: Sequence[Moment], seed: int, **settings: str) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._plan = plan
        self._settings = settings
        self._progress = self._continue(jobs)
        self._discord = Loopback(seed=seed)
        self._discord.problems = self._progress.refused
        vars(self._discord.state).update(self._progress.discord)
        self._crowd = Crowd(self._discord, self._random, self._progress.asks, self._progress.cancelled)
        self._bot = BotProcess(self._discord, folder)
        self._began = time.monotonic()

    async def run(self) -> Report:
        """Live all lives that are left, and check what comes of them."""
        await self._discord.start(self._progress.port)
        self._progress.port = int(self._discord.base.rpartition(":")[2])
        try:
            for moment in self._plan[self._progress.lives :]:
                await self._live(moment)
                self._progress.lives += 1
                self._save()
            await self._last_life()
        finally:
            self._bot.kill()
            await self._discord.stop()
        evidence = self._evidence()
        (self._folder / "evidence.pickle").write_bytes(pickle.dumps((len(self._plan), evidence)))
        for title, count in sorted(self._progress.died.items()):
            print(f"| {title} | {count} |")
        return check(evidence, len(self._plan))

    def _continue(self, jobs: int) -> Progress:
        """Return where an interrupted run was, else the beginning."""
        kept = self._folder / "progress.pickle"
        if not kept.exists():
            return Progress(jobs)
        progress: Progress = pickle.loads(kept.read_bytes())  # noqa: S301 - our own file
        self._random.setstate(progress.randomness)  # type: ignore[arg-type]
        return progress

    def _save(self) -> None:
        """Keep the progress for another process."""
        self._progress.randomness = self._random.getstate()
        self._progress.discord = {name: value for name, value in vars(self._discord.state).items() if name != "_emit"}
        new = self._folder / "progress.new"
        new.write_bytes(pickle.dumps(self._progress))
        new.replace(self._folder / "progress.pickle")

    async def _live(self, moment: Moment) -> None:
        """Start the bot, let members ask, and end it at the moment."""
        lives_left = len(self._plan) - self._progress.lives
        self._log(f"life {self._progress.lives + 1} of {len(self._plan)}: {moment.title}")
        if moment.kind == "request":
            self._arm(moment)
        self._disturb()
        await self._bot.start(moment.crash, **self._settings)
        await self._ask(math.ceil(self._progress.jobs_left / (lives_left + 1)), 0.3)
        if moment.kind == "stop":
            await self._stop()
        elif moment.kind == "random":
            await asyncio.sleep(self._random.uniform(0.0, 3.0))
        else:
            await self._until_dead(_MOMENT_SECONDS)
        reached = moment.kind in ("stop", "random") or not self._bot.running
        self._progress.died[moment.title if reached else f"{moment.title}, which did not come"] += 1
        self._bot.kill()
        await self._bot.ended()
        self._discord.faults.clear()

    async def _ask(self, count: int, pause: float) -> None:
        """Have members ask as often, as long as the bot is there."""
        for _ in range(count):
            if not self._bot.running or not self._discord.ready:
                return
            await self._crowd.ask()
            self._progress.jobs_left -= 1
            await asyncio.sleep(self._random.uniform(0.0, pause))

    async def _stop(self) -> None:
        """Stop the bot as an operator does, while members go on asking."""
        self._bot.terminate()
        await self._ask(min(2, self._progress.jobs_left), 0.1)
        try:
            status = await self._bot.ended()
        except TimeoutError:
            self._progress.unstopped.append(f"the bot did not stop within {STOP_SECONDS:g} s")
            return
        if status:
            self._progress.unstopped.append(f"the bot stopped with status {status}")

    async def _until_dead(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self._bot.running and time.monotonic() < end:
            await asyncio.sleep(0.02)

    def _disturb(self) -> None:
        """Let the network fail at times, so that the bot has to post again what may be there already."""
        self._discord.faults.add(Fault("POST", _POST, times=None, rate=_LOST_ANSWERS, drop="after"))
        self._discord.faults.add(Fault("POST", _POST, times=None, rate=_OUTAGES, status=503))

    def _arm(self, moment: Moment) -> None:
        """Kill the bot at a request. Before it took effect, Discord never gets it."""
        method, path = REQUESTS[moment.name]
        left = moment.count

        def kill(call: Call) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                if moment.when == "before":
                    self._discord.faults.add(Fault(call.method, call.path, drop="before"), first=True)
                self._bot.kill()

        self._discord.faults.watch(method, path, moment.when, kill, times=moment.count)

    async def _last_life(self) -> None:
        """Start the bot once more, and wait until nothing is open and nothing is said any more."""
        self._log("last life")
        self._disturb()
        await self._bot.start(**self._settings)
        await self._ask(self._progress.jobs_left, 0.3)
        await self._until_quiet()
        self._log(f"open: {self._open_jobs() or 'nothing'}; stopping")
        await self._stop()

    async def _until_quiet(self) -> None:
        """Wait until no job is open and nothing has been said for a while; at most five minutes."""
        end = time.monotonic() + _LAST_SECONDS
        quiet_since, seen, said = time.monotonic(), -1, time.monotonic()
        while time.monotonic() < end and time.monotonic() - quiet_since < _QUIET_SECONDS and self._bot.running:
            await asyncio.sleep(0.1)
            if self._open_jobs() or len(self._discord.state.record) != seen:
                quiet_since, seen = time.monotonic(), len(self._discord.state.record)
            if time.monotonic() - said > _SAID_SECONDS:
                said = time.monotonic()
                self._log(f"open: {self._open_jobs()}")

    def _open_jobs(self) -> dict[str, int]:
        """Return how many jobs are open by state."""
        with closing(sqlite3.connect(f"file:{self._bot.database}?mode=ro", uri=True)) as database:
            return dict(database.execute(_OPEN).fetchall())

    def _evidence(self) -> Evidence:
        return read_evidence(
            self._bot.database,
            self._discord.state.record,
            self._progress.asks,
            frozenset(self._progress.cancelled),
            self._progress.refused,
            self._progress.unstopped,
        )

    def _log(self, text: str) -> None:
        asked = len(self._progress.asks)
        print(f"{time.monotonic() - self._began:7.1f} s  {text}; {asked} asked", flush=True)


def main() -> int:
    """Run, or check what a run has left. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--restarts", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="Where the data and the log lie. Default: a new temporary folder.")
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="Only check what a run has left there.")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="A further setting of the bot; repeatable."
    )
    given = parser.parse_args()
    if given.check is not None:
        restarts, evidence = pickle.loads((given.check / "evidence.pickle").read_bytes())  # noqa: S301 - our own file
        report = check(evidence, restarts)
    else:
        folder = given.folder or Path(tempfile.mkdtemp(prefix="zimage-crash-"))
        folder.mkdir(parents=True, exist_ok=True)
        print(f"in {folder}", flush=True)
        plan = list(islice(moments(random.Random(given.seed)), given.restarts))
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the bot, too
        settings = dict(each.split("=", 1) for each in given.set)
        report = asyncio.run(CrashRun(folder, given.jobs, plan, given.seed, **settings).run())
    for fault in report.wrong:
        print(f"- {fault}")
    print(report.line)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
