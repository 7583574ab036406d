"""Many members who ask within seconds, over real sockets: who is answered when, and what becomes of each job.

    python -m tests.load.crowd --members 200 --channels 20 --commands 5 --seconds 10

The bot is a process of its own (``tests/load/launch_bot.py``) with a device that takes almost no time, so that all the
load is on the bot; the loopback Discord is this process. Everything happens in two rounds, the first of which fills
caches. The last line says what came out, the exit status whether it is good enough.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from tests.e2e.process import BotProcess
from tests.helpers.loopback import Loopback
from tests.helpers.loopback.places import crowd, text_channels
from tests.helpers.waiting import until
from tests.load.samples import Sample, at_end, read_samples

HEARTBEAT_SECONDS = 2.0
P99_SECONDS, LATE_SECONDS = 1.0, 3.0
JAIN_MIN, CROWDED_SECONDS = 0.9, 1.0
"""The least index of the members' mean waits, where half of the waits are that long: shorter ones differ by chance."""
GROWTH_MAX = 1.05
"""How large the process may be after the second round, compared with what it was after the first."""
_DEFAULTS = {"PROGRESS_INTERVAL": "1.5", "CONCURRENT_JOBS": "3"}
"""What the bot has where an operator sets nothing; ``BotProcess`` sets other values."""
_ENDED = ("delivered", "failed")
_OPEN = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running', 'rendered', 'delivering') OR due_at IS NOT NULL"


@dataclass(frozen=True)
class Load:
    """Each of ``members``, who are spread over ``channels``, gives ``commands`` commands within ``seconds``."""

    members: int = 200
    channels: int = 20
    commands: int = 5
    seconds: float = 10.0


@dataclass
class Round:
    """What one round came to. Times in seconds: of the first answer, and from a command to its picture."""

    commands: int = 0
    answered: int = 0
    answer_p50: float = 0.0
    answer_p99: float = 0.0
    answer_worst: float = 0.0
    pictures: int = 0
    sentences: int = 0
    lost: int = 0
    wait_p50: float = 0.0
    wait_worst: float = 0.0
    jain: float = 0.0
    heartbeat_gap: float = 0.0
    loop_lag: float = 0.0
    cpu_ms_per_job: float = 0.0
    rss_mb: float = 0.0
    handles: int = 0
    threads: int = 0
    tasks: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """All figures in one line."""
        numbers = [each.name for each in fields(self) if each.type in ("int", "float")]
        shown = [f"{name} {getattr(self, name):.4g}" for name in numbers]
        return ", ".join(shown)


def jain(values: list[float]) -> float:
    """Return Jain's index of fairness, from 1/n to 1: (Σx)² / (n · Σx²).

    Jain, Chiu, Hawe: A Quantitative Measure of Fairness and Discrimination, DEC-TR-301, 1984.
    """
    return sum(values) ** 2 / (len(values) * sum(value**2 for value in values))


class CrowdRun:
    """A bot, its Discord, and the rounds."""

    def __init__(self, folder: Path, load: Load, seed: int = 1) -> None:
        self._load = load
        self._random = random.Random(seed)
        self.discord = Loopback(checking=False)
        self.discord.gateway.heartbeat_interval = HEARTBEAT_SECONDS
        self._channels = text_channels(load.channels)
        self.discord.state.channels |= {channel.id: channel for channel in self._channels}
        self._samples = folder / "samples.jsonl"
        self.began = 0.0
        self.bot = BotProcess(self.discord, folder, "tests.load.launch_bot")

    async def run(self, rounds: int = 2, idle_seconds: float = 0.0, **settings: str) -> list[Round]:
        """Start the bot, wait for ``idle_seconds``, have every round, and stop the bot."""
        await self.discord.start()
        try:
            await self.bot.start(**({"SAMPLES": str(self._samples)} | _DEFAULTS | settings))
            await until(lambda: "model_ready" in self.bot.log and len(read_samples(self._samples)) > 2)
            await asyncio.sleep(idle_seconds)
            self.began = time.monotonic()
            done = [await self._round() for _ in range(rounds)]
            self.bot.terminate()
            await self.bot.ended()
        finally:
            self.bot.kill()
            await self.discord.stop()
        if done[-1].rss_mb > done[0].rss_mb * GROWTH_MAX:
            done[-1].wrong.append(f"the process grew from {done[0].rss_mb:.0f} to {done[-1].rss_mb:.0f} MB")
        return done

    async def _round(self) -> Round:
        began, offset = time.monotonic(), time.time() - time.monotonic()
        before = len(self.discord.state.record)
        cpu_before = read_samples(self._samples)[-1].cpu
        tokens = await self._ask()
        await until(lambda: all(self.discord.state.interactions[each].answer for each in tokens) or self._late(began))
        await until(lambda: not self._open(), 120)
        await asyncio.sleep(2.5)  # the last cards are removed, and the samples of that time are written
        samples = [sample for sample in read_samples(self._samples) if sample.at > began]
        posted = {
            entry.message.id: entry.at - offset
            for entry in self.discord.state.record[before:]
            if entry.what == "posted"
        }
        return self._figures(tokens, posted, samples, cpu_before)

    async def _ask(self) -> list[str]:
        """Have each member give their commands at random moments. Returns the interactions' tokens."""
        load, loop = self._load, asyncio.get_running_loop()
        moments = [
            (self._random.uniform(0, load.seconds), member, self._channels[number % load.channels].id)
            for number, member in enumerate(crowd(load.members))
            for _ in range(load.commands)
        ]
        began, tokens = loop.time(), []
        for number, (moment, member, channel) in enumerate(sorted(moments)):
            await asyncio.sleep(max(0.0, began + moment - loop.time()))
            prompt = f"a red circle on a blue background, number {number}"
            tokens.append(await self.discord.command("imagine", channel=channel, member=member, prompt=prompt, steps=4))
        return tokens

    def _late(self, began: float) -> bool:
        return time.monotonic() - began > self._load.seconds + 10

    def _open(self) -> int:
        """Return how many jobs have not ended, or have something left to do in Discord."""
        with closing(sqlite3.connect(f"file:{self.bot.database}?mode=ro", uri=True)) as database:
            return int(database.execute(_OPEN).fetchone()[0])

    def _figures(self, tokens: list[str], posted: dict[str, float], samples: list[Sample], cpu_before: float) -> Round:
        asked = [self.discord.state.interactions[token] for token in tokens]
        answers = [each.answered_at - each.asked_at for each in asked if each.answered_at is not None]
        jobs = self._jobs()
        waits: dict[str, list[float]] = defaultdict(list)
        found = Round(commands=len(asked), answered=len(answers))
        for each in asked:
            state, message = jobs.get(int(each.id), ("", None))
            found.pictures += state == "delivered"
            found.sentences += state == "failed"
            found.lost += bool(state) and state not in _ENDED
            if state == "delivered":
                waits[each.member_id].append(posted[str(message)] - each.asked_at)
        found.answer_p50, found.answer_p99, found.answer_worst = np.percentile(answers, (50, 99, 100)).tolist()
        flat = [wait for of_member in waits.values() for wait in of_member]
        found.wait_p50, found.wait_worst = np.percentile(flat, (50, 100)).tolist()
        found.jain = jain([sum(each) / len(each) for each in waits.values()])
        beats = [beat for session in self.discord.gateway.heartbeats.values() for beat in session]
        found.heartbeat_gap = float(np.diff(beats).max())
        found.loop_lag = max(sample.lag for sample in samples)
        last = at_end(samples)
        found.cpu_ms_per_job = (last.cpu - cpu_before) / max(1, found.pictures) * 1000
        found.rss_mb, found.handles = last.rss / 1e6, last.handles
        found.threads, found.tasks = last.threads, last.tasks
        found.wrong = list(self._faults(found))
        return found

    def _faults(self, found: Round) -> list[str]:
        """Return in words what is not good enough."""
        problems = {
            f"{found.commands - found.answered} commands were not answered": found.answered < found.commands,
            f"the 99th percentile of the first answers is {found.answer_p99:.2f} s": found.answer_p99 > P99_SECONDS,
            f"one answer took {found.answer_worst:.2f} s": found.answer_worst > LATE_SECONDS,
            f"{found.lost} jobs were lost": found.lost > 0,
            "not every command became a job": found.pictures + found.sentences + found.lost < found.commands,
            f"Jain's index is {found.jain:.2f}": found.jain < JAIN_MIN and found.wait_p50 > CROWDED_SECONDS,
            f"a heartbeat was missed: {found.heartbeat_gap:.1f} s": found.heartbeat_gap > 2 * HEARTBEAT_SECONDS,
            "the bot connected again": self.discord.gateway.identified > 1 or self.discord.gateway.resumed > 0,
        }
        return [problem for problem, holds in problems.items() if holds]

    def _jobs(self) -> dict[int, tuple[str, int | None]]:
        """Return the state and the result's message of each job by its event."""
        with closing(sqlite3.connect(f"file:{self.bot.database}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT source_id, state, result_message_id FROM jobs").fetchall()
        return {source: (state, message) for source, state, message in rows}


def main() -> int:
    """Run what the command line says. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for each in fields(Load):
        parser.add_argument(f"--{each.name}", type=type(each.default), default=each.default)
    parser.add_argument("--rounds", type=int, default=2)
    options = vars(parser.parse_args())
    rounds = options.pop("rounds")
    with tempfile.TemporaryDirectory() as folder:
        done = asyncio.run(CrowdRun(Path(folder), Load(**options)).run(rounds))
    for number, each in enumerate(done, 1):
        print(f"round {number}: {each.line}")
    wrong = [problem for each in done for problem in each.wrong]
    print("ok" if not wrong else "FAILED: " + "; ".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
