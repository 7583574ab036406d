"""One queue for 1 to 64 simulated devices: pictures a second, fair parts, and the time that planning takes.

``python -m benchmarks.several_devices`` prints the table and writes ``docs/images/devices.png``. Time is the cost
model's, that of ``benchmarks.simulation``; nothing is generated. Planning is timed on this machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.simulated import turbo_costs
from benchmarks.simulated_devices import SimulatedDevices
from zimage_engine.types import Unit

PLOT = Path("docs/images/devices.png")
COUNTS = (1, 2, 4, 8, 16, 32, 64)
_SECONDS = 40.0
_MEMBERS, _SERVERS = 40, 8
_TOKENS = (1024 + 128, 2304 + 128, 4096 + 128)
_TEXT_AND_DECODE = {Unit.ENCODE_TEXT: 0.03, Unit.DECODE: 0.1}


@dataclass(frozen=True)
class Load:
    """What came out of a run of members who always have requests waiting.

    ``speed`` is the work done in a second, ``possible`` that of devices that never wait, ``least`` the smallest part of
    a server, in equal parts.
    """

    speed: float
    possible: float
    least: float


def saturated(paces: Sequence[float], seconds: float = _SECONDS) -> Load:
    """Return how devices that take ``paces`` times as long as one serve more than they can, after the first second."""
    devices = SimulatedDevices(turbo_costs(), paces, burst=1.0)
    waiting = [0] * _MEMBERS
    asked: dict[str, int] = {}
    ended = 0

    def feed() -> None:
        nonlocal ended
        for name in list(devices.ended)[ended:]:
            waiting[asked[name]] -= 1
        ended = len(devices.ended)
        for member, count in enumerate(waiting):
            for number in range(count, 3 + 2 * len(paces) // _MEMBERS):
                tokens = _TOKENS[(member + number) % len(_TOKENS)]
                task = devices.ask(member, member % _SERVERS, tokens=tokens, seconds=_TEXT_AND_DECODE)
                asked[task.id], waiting[member] = member, waiting[member] + 1

    while devices.clock < seconds:
        feed()
        devices.serve()
    work = sum(devices.served.values())
    servers = [sum(devices.served[member] for member in range(_MEMBERS) if member % _SERVERS == server)
               for server in range(_SERVERS)]  # fmt: skip
    return Load(work / devices.clock, sum(1 / pace for pace in paces), min(servers) * _SERVERS / work)


def planning_time(count: int, waiting: int = 10_000, owners: int = 1000) -> float:
    """Return the median milliseconds of ``next`` for so many devices at work, with so many tasks waiting."""
    devices = SimulatedDevices(turbo_costs(), [1.0] * count)
    for number in range(waiting):
        owner = number % owners
        devices.ask(owner, owner % 10, tokens=_TOKENS[number % 3], seconds=_TEXT_AND_DECODE)
    for _ in range(4 * count):
        devices.serve()
    times = []
    for name in (list(devices.scheduler.devices) * 64)[:64]:
        began = time.perf_counter()
        devices.scheduler.next(name)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def main(report: Callable[[str], None] = print) -> None:
    equal = {count: saturated([1.0] * count) for count in COUNTS}
    mixed = {count: saturated([1.0 + 2 * (number % 2) for number in range(count)]) for count in COUNTS}
    planning = {count: min(planning_time(count) for _ in range(3)) for count in COUNTS}
    small = min(planning_time(1, 100, 10) for _ in range(3))
    report("| devices | speed-up ÷ devices | unequal: work ÷ possible | least part of a server | planning |")
    report("|---|---|---|---|---|")
    for count in COUNTS:
        speed_up = equal[count].speed / equal[1].speed / count
        unequal = mixed[count].speed / mixed[count].possible / equal[1].speed
        least = min(equal[count].least, mixed[count].least)
        report(f"| {count} | {speed_up:.3f} | {unequal:.3f} | {least:.2f} | {planning[count] / small:.2f} × |")
    plot(equal, mixed, {count: planning[count] / small for count in COUNTS})


def plot(equal: dict[int, Load], mixed: dict[int, Load], planning: dict[int, float]) -> None:
    """Plot the speed-up and the time of planning by the number of devices."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(COUNTS, COUNTS, color="lightgray", linewidth=5, label="as many times as there are devices")
    left.plot(COUNTS, [equal[count].speed / equal[1].speed for count in COUNTS], "o-", label="equal devices")
    left.plot(
        [mixed[count].possible for count in COUNTS],
        [mixed[count].speed / equal[1].speed for count in COUNTS],
        "s--",
        label="every second one three times as slow",
    )
    left.set_ylabel("work a second ÷ that of one device")
    left.set_xlabel("devices, in fast ones")
    left.set_yscale("log", base=2)
    left.yaxis.set_major_formatter("{x:g}")
    right.plot(COUNTS, [planning[count] for count in COUNTS], "o-", label="10,000 requests wait")
    right.axhline(2, color="black", linestyle=":", label="goal")
    right.set_ylabel("planning a unit ÷ one device, 100 waiting")
    right.set_xlabel("devices")
    right.set_ylim(bottom=0)
    for panel in (left, right):
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter("{x:g}")
        panel.grid(alpha=0.3)
        panel.legend(frameon=False)
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOT, dpi=110)


if __name__ == "__main__":
    main()
