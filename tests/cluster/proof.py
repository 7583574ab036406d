"""The proof that a cluster loses no job: the real program, a Ray head and two nodes on hosts of their own, and faults.

    python -m tests.cluster.proof --jobs 200 --seed 1

Members ask for pictures in every way while links are cut, processes killed and stopped, and nodes drained. When
everything is quiet, Discord's record and the database are checked as ``tests.e2e.crash`` does. Prints a row of a table
for each fault, with the seconds after which the bot noticed it, and then what came out. Needs root: the hosts are
network namespaces.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.cluster.hosts import Hosts, why_not
from tests.e2e.checks import Report, check
from tests.e2e.crowd import Crowd
from tests.e2e.evidence import Ask, read_evidence
from tests.e2e.process import ROOT, BotProcess
from tests.helpers.loopback import Loopback
from zimage_engine.cluster.ray_node import write_token

HOSTS = ("head", "one", "two")
PORT = 6379
_JOIN_SECONDS, _NOTICE_SECONDS, _QUIET_SECONDS, _LAST_SECONDS = 90.0, 30.0, 2.0, 300.0
_LOST = r"(?:worker lost|lost|draining): device={address}/"
_OPEN = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running', 'rendered', 'delivering')"


@dataclass(frozen=True)
class Fault:
    """What is done to a node, and how it is made good. The bot has to notice within ``seconds``.

    With ``ends`` the program on the node ends by itself before that.
    """

    title: str
    do: Callable[[ClusterRun, str], None]
    undo: Callable[[ClusterRun, str], None]
    seconds: float = 10.0
    ends: bool = False


class ClusterRun:
    """One run, inside the namespace of the head: the Discord, the bot, the nodes, and the members."""

    def __init__(self, hosts: Hosts, folder: Path, jobs: int, faults: Sequence[Fault], seed: int) -> None:
        self.hosts = hosts
        self._folder = folder
        self._jobs = jobs
        self._faults = faults
        self._random = random.Random(seed)
        self._discord = Loopback(seed=seed)
        self._asks: list[Ask] = []
        self._cancelled: set[int] = set()
        self._crowd = Crowd(self._discord, self._random, self._asks, self._cancelled)
        self._bot = BotProcess(self._discord, folder)
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._began = time.monotonic()
        self.rows: list[tuple[str, float, float]] = []
        self.wrong: list[str] = []

    async def run(self) -> Report:
        """Run all faults while members ask, and check what comes of it."""
        await self._discord.start()
        try:
            write_token(self._folder / "token")
            for name in HOSTS:  # Ray waits a minute for a head that is not there yet
                self.start_node(name)
            await self._until_log(self._log_of("head"), "is a node", _JOIN_SECONDS)
            await self._bot.start(RAY_ADDRESS=f"{self.hosts.address('head')}:{PORT}", **self._environment("bot"))
            for name in HOSTS[1:]:
                await self._until_served(name)
            await self._live()
            await self._until_quiet()
            self._bot.terminate()
            if status := await self._bot.ended():
                self.wrong.append(f"the bot stopped with status {status}")
        finally:
            self._bot.kill()
            for name in HOSTS[1:]:
                self.hosts.kill_all(name)
            self._nodes["head"].kill()
            await self._discord.stop()
        record, refused = self._discord.state.record, self._discord.problems
        evidence = read_evidence(
            self._bot.database, record, self._asks, frozenset(self._cancelled), refused, self.wrong
        )
        return check(evidence)

    def start_node(self, name: str) -> None:
        """Start the worker, or the head, on a host."""
        where = ["--head"] if name == "head" else [f"--address={self.hosts.address('head')}:{PORT}", "--workers=1"]
        program = [sys.executable, "-c", "from bot.cli.main import main; main()", "worker", "--drain=30", *where]
        command = self.hosts.command(name, *program, f"--listen={self.hosts.address(name)}")
        with self._log_of(name).open("ab") as log:
            self._nodes[name] = subprocess.Popen(
                command, env=self._base() | self._environment(name), cwd=self._folder, stdout=log, stderr=log
            )

    def stop_node(self, name: str) -> None:
        """Stop the worker on a host as an operator does: it drains."""
        self._nodes[name].terminate()

    def processes(self, name: str, title: str) -> list[psutil.Process]:
        """Return the processes on a host whose command line has the title."""
        found = []
        for pid in self.hosts.pids(name):
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                if title in " ".join(process.cmdline()):
                    found.append(process)
        return found

    async def _live(self) -> None:
        """Do one fault after another, to the nodes in turn, while members go on asking."""
        asking = asyncio.create_task(self._ask())
        for number, fault in enumerate(self._faults):
            name = HOSTS[1 + number % 2]
            await asyncio.sleep(self._random.uniform(0.5, 1.5))
            log, before = self._folder / "bot.log", len(self._bot.log)
            pattern = _LOST.format(address=re.escape(self.hosts.address(name)))
            self._log(f"{fault.title}: {name}")
            began = time.monotonic()
            fault.do(self, name)
            try:
                await self._until_log(log, pattern, _NOTICE_SECONDS, before)
            except TimeoutError:
                self.wrong.append(f"{fault.title}: nobody noticed")
            noticed = time.monotonic() - began
            if noticed > fault.seconds:
                self.wrong.append(f"{fault.title}: noticed after {noticed:.1f} s")
            while fault.ends and self._nodes[name].poll() is None:
                await asyncio.sleep(0.1)
            fault.undo(self, name)
            await self._until_served(name, before)
            self.rows.append((fault.title, noticed, time.monotonic() - began))
        await asking

    async def _ask(self) -> None:
        for _ in range(self._jobs):
            await self._crowd.ask()
            await asyncio.sleep(self._random.uniform(0.0, 1.0))

    async def _until_served(self, name: str, since: int = 0) -> None:
        """Wait until the host has a worker that is loaded: one more than before."""
        pattern = f"loaded: device={re.escape(self.hosts.address(name))}/"
        await self._until_log(self._folder / "bot.log", pattern, _JOIN_SECONDS, since)

    async def _until_log(self, path: Path, pattern: str, seconds: float, since: int = 0) -> None:
        """Wait until the log has a line with the pattern after its first ``since`` characters."""
        end = time.monotonic() + seconds
        while not re.search(pattern, path.read_text(encoding="utf-8")[since:]):
            if time.monotonic() > end:
                raise TimeoutError(f"no “{pattern}” in {path}: {path.read_text(encoding='utf-8')[-3000:]}")
            await asyncio.sleep(0.05)

    async def _until_quiet(self) -> None:
        end, quiet, seen = time.monotonic() + _LAST_SECONDS, time.monotonic(), -1
        while time.monotonic() < end and time.monotonic() - quiet < _QUIET_SECONDS:
            await asyncio.sleep(0.1)
            with closing(sqlite3.connect(f"file:{self._bot.database}?mode=ro", uri=True)) as database:
                still = database.execute(_OPEN).fetchone()[0]
            if still or len(self._discord.state.record) != seen:
                quiet, seen = time.monotonic(), len(self._discord.state.record)

    def _base(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
        # The hosts share this machine's cores, and each takes all of them for its own: threads without a core spin.
        return kept | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "OMP_THREAD_LIMIT": "1"}

    def _environment(self, name: str) -> dict[str, str]:
        """Return the settings of a host: a home of its own, and the cluster's one token."""
        home = self._folder / name
        home.mkdir(exist_ok=True)
        own = {"HOME": str(home), "RAY_AUTH_TOKEN_PATH": str(self._folder / "token"), "PROFILE": "demo"}
        return own if name == "bot" else own | {"DATA_DIR": str(home / "data"), "DEVICE": "cpu"}

    def _log_of(self, name: str) -> Path:
        path = self._folder / f"{name}.log"
        path.touch()
        return path

    def _log(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {text}; {len(self._asks)} asked", flush=True)


def _nothing(run: ClusterRun, name: str) -> None:
    """The node comes back by itself."""


def _send(number: signal.Signals, title: str) -> Callable[[ClusterRun, str], None]:
    def send(run: ClusterRun, name: str) -> None:
        for process in run.processes(name, title):
            process.send_signal(number)

    return send


def _restart(run: ClusterRun, name: str) -> None:
    run.start_node(name)


FAULTS = (
    Fault("an actor is killed", _send(signal.SIGKILL, "DeviceActor"), _nothing),
    Fault("a worker is stopped (SIGSTOP)", _send(signal.SIGSTOP, "DeviceActor"), _nothing),
    Fault("the raylet of a node is killed", _send(signal.SIGKILL, "raylet/raylet"), _nothing),
    Fault("the link to a node is cut", lambda run, name: run.hosts.cut(name), lambda run, name: run.hosts.heal(name)),
    Fault("a node loses its power", lambda run, name: run.hosts.kill_all(name), _restart),
    Fault("a node is drained", ClusterRun.stop_node, _restart, ends=True),
)


def run_proof(jobs: int, seed: int, folder: Path, faults: Sequence[int]) -> subprocess.CompletedProcess[str]:
    """Run the proof on hosts of its own; returns the ended process with its output."""
    with Hosts(HOSTS) as hosts:
        command = [sys.executable, "-m", "tests.cluster.proof", "--inside", hosts.tag, "--folder", str(folder)]
        command += ["--jobs", str(jobs), "--seed", str(seed), "--faults", ",".join(map(str, faults))]
        return subprocess.run(
            hosts.command("head", *command),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def _inside(given: argparse.Namespace) -> int:
    faults = [FAULTS[int(number)] for number in given.faults.split(",")]
    run = ClusterRun(Hosts(HOSTS, given.inside), given.folder, given.jobs, faults, given.seed)
    report = asyncio.run(run.run())
    print("| fault | noticed after | served again after |\n|---|---|---|")
    for title, noticed, served in run.rows:
        print(f"| {title} | {noticed:.1f} s | {served:.1f} s |")
    for fault in report.wrong:
        print(f"- {fault}")
    print(report.line)
    return 1 if report.wrong else 0


def main() -> int:
    """Run the proof; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", default="0,1,2,3,4,5", help="Which, by their places in FAULTS, in this order.")
    parser.add_argument("--folder", type=Path, help="Where the data and the logs lie. Default: a new temporary folder.")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        return _inside(given)
    if (reason := why_not()) is not None:
        print(reason)
        return 2
    folder = given.folder or Path(tempfile.mkdtemp(prefix="zimage-cluster-"))
    print(f"in {folder}", flush=True)
    done = run_proof(given.jobs, given.seed, folder, [int(number) for number in given.faults.split(",")])
    print(done.stdout)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
