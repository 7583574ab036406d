"""What one bot process carries: admitted jobs, pictures, requests to Discord and the event loop's part of a picture.

    python -m tests.load.scale

The device takes almost no time (``tests/load/launch_bot.py``) and Discord is a loopback server in this process, so both
share the cores: the figures are lower bounds. docs/scale.md says what follows from them.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks.ledger import admitted_per_second
from tests.helpers.loopback import Call
from tests.load.cpu import by_thread
from tests.load.crowd import CrowdRun, Load
from tests.load.samples import read_samples

STEADY = Load(members=100, channels=20, commands=5, seconds=50.0)
"""Ten pictures a second: below what the bot can do, so that the parts of a picture are those of a bot that is well."""
BUSY = Load(members=200, channels=20, commands=6, seconds=40.0)
"""Thirty pictures a second: about what two cores carry that this Discord shares."""
_COUNTED = re.compile(r"(?!interactions/|webhooks/).*")
"""Discord counts every request to the global limit of 50 a second except those by an interaction's token:
https://discord.com/developers/docs/topics/rate-limits#global-rate-limit"""


def requests_by_kind(calls: Iterable[Call], pictures: int) -> dict[tuple[str, bool], float]:
    """Return the requests to Discord per picture, by method and path and by whether they count to the global limit."""
    found: Counter[tuple[str, bool]] = Counter()
    for call in calls:
        path = re.sub(r"(?<=/)(\d+|token-\d+)(?=/|$)", "…", call.path)
        found[f"{call.method} {path}", bool(_COUNTED.fullmatch(call.path))] += 1
    return {kind: count / pictures for kind, count in found.most_common()}


async def steady(folder: Path) -> None:
    """Print what a picture takes of the event loop, of a core, and of Discord's limit."""
    run = CrowdRun(folder, STEADY)
    (done,) = await run.run(1, idle_seconds=6.0)
    samples = read_samples(folder / "samples.jsonl")
    print("\n| a picture of 256² | ms of CPU |\n|---|---|")
    parts = by_thread(samples, run.began, done.pictures)
    for title, milliseconds in sorted(parts.items(), key=lambda each: -each[1]):
        print(f"| {title} | {milliseconds:.1f} |")
    print(f"| all | {sum(parts.values()):.1f} |")
    print("\n| requests to Discord for a picture | number | count to the 50 a second |\n|---|---|---|")
    for (kind, counted), number in requests_by_kind(run.discord.calls, done.pictures).items():
        if number >= 0.01:
            print(f"| `{kind}` | {number:.2f} | {'yes' if counted else 'no'} |")


async def busy(folder: Path) -> None:
    """Print how many pictures a second are delivered when the processor is the limit."""
    run = CrowdRun(folder, BUSY)
    (done,) = await run.run(1, QUEUED_JOBS="20", CEILING_QUEUE_LENGTH="5000")
    posted = sorted(
        entry.at for entry in run.discord.state.record if entry.what == "posted" and entry.message.attachments
    )
    tenth = len(posted) // 10
    rate = (len(posted) - 2 * tenth) / (posted[-tenth - 1] - posted[tenth])
    print(f"\n{done.pictures} pictures of {done.commands} commands, {rate:.1f} a second in the middle eight tenths")
    print(done.line)


def main() -> None:
    for at_once in (1, 50):
        rate = asyncio.run(admitted_per_second(at_once))
        print(f"{rate:,.0f} jobs a second are admitted, {at_once} at a time, each on the disk before it is answered")
    for measured in (steady, busy):
        with tempfile.TemporaryDirectory() as name:
            asyncio.run(measured(Path(name)))


if __name__ == "__main__":
    main()
