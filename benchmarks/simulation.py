"""Virtual finish against FIFO and lockstep batching on simulated traces: ``python -m benchmarks.simulation``.

Time is the cost model's, from the roofline of Z-Image-Turbo on an RTX 4090 (docs/engine.md); nothing is generated.
Prints two tables, of typical loads and of adversaries, and writes their plots to ``docs/images``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks import adversaries
from benchmarks.policies import Fifo, Lockstep
from benchmarks.simulated import SIDES, Device
from zimage_engine.scheduling.scheduler import Scheduler

PLOT = Path("docs/images/scheduling.png")
POLICIES: dict[str, type[Scheduler]] = {"virtual finish": Scheduler, "FIFO": Fifo, "lockstep": Lockstep}


@dataclass(frozen=True)
class Ask:
    """A request for one picture, ``at`` seconds after the start."""

    at: float
    owner: str
    side: int


def traces() -> dict[str, list[Ask]]:
    """Return typical loads of servers: a flood by one member, a burst of all sizes, steady use, all at once."""
    rng = np.random.default_rng(1)
    sides = [512, 768, 1024]
    steady = np.cumsum(rng.exponential(4.0, size=120))
    return {
        "one behind forty": [Ask(0.0, "flood", 1024) for _ in range(40)] + [Ask(5.0, "one", 1024)],
        "mixed burst": [Ask(0.0, "heavy", 1024) for _ in range(12)]
        + [Ask(0.1, f"light {i}", 512) for i in range(5) for _ in range(1 + i % 4)],
        "steady, many": [Ask(float(at), f"u{rng.integers(20)}", int(rng.choice(sides))) for at in steady],
        "all at once": [Ask(0.0, f"u{i}", 512) for i in range(24)],
    }


def waits(policy: type[Scheduler], asks: list[Ask]) -> list[float]:
    """Return the seconds from each request to its picture."""
    device = Device(policy)
    coming = sorted(asks, key=lambda ask: ask.at)
    tasks = {}
    while coming or device.scheduler.tasks:
        while coming and (coming[0].at <= device.clock or not device.scheduler.tasks):
            ask = coming.pop(0)
            device.clock = max(device.clock, ask.at)
            tasks[id(ask)] = device.ask(ask.owner, side=ask.side)
        device.serve()
    return [device.ended[tasks[id(ask)].id] - ask.at for ask in asks]


def slowdowns(policy: type[Scheduler], asks: list[Ask]) -> list[float]:
    """Return how many times longer than alone each request took."""
    alone = {side: waits(Scheduler, [Ask(0.0, "", side)])[0] for side in SIDES}
    return [wait / alone[ask.side] for ask, wait in zip(asks, waits(policy, asks), strict=True)]


def mean_by_owner(values: list[float], asks: list[Ask]) -> list[float]:
    """Return the mean of each owner's values, which is what a member experiences."""
    owners = sorted({ask.owner for ask in asks})
    return [statistics.mean(v for v, ask in zip(values, asks, strict=True) if ask.owner == owner) for owner in owners]


def table() -> list[str]:
    lines = ["| trace | policy | mean wait, s | mean slowdown by member | worst member |", "|---|---|---|---|---|"]
    for name, asks in traces().items():
        for policy_name, policy in POLICIES.items():
            mean = statistics.mean(waits(policy, asks))
            members = mean_by_owner(slowdowns(policy, asks), asks)
            lines.append(
                f"| {name} | {policy_name} | {mean:.2f} | {statistics.mean(members):.1f} × | {max(members):.1f} × |"
            )
    return lines


def plot(path: Path) -> None:
    """Plot the members' slowdowns, sorted, for each policy, in one panel for each trace."""
    figure = Figure(figsize=(13, 3.4), layout="constrained")
    panels = figure.subplots(1, len(traces()))
    for panel, (name, asks) in zip(panels, traces().items(), strict=True):
        for policy_name, policy in POLICIES.items():
            members = sorted(mean_by_owner(slowdowns(policy, asks), asks))
            line = "--" if policy is Lockstep else "-"  # it often lies on FIFO's
            panel.plot(np.linspace(0, 100, len(members)), members, line, marker="o", markersize=3, label=policy_name)
        panel.set_title(name)
        panel.set_xlabel("members, best to worst, %")
        panel.set_yscale("log", base=2)
        panel.yaxis.set_major_formatter("{x:g} ×")
        panel.grid(alpha=0.3, which="both")
    panels[0].set_ylabel("time ÷ time alone")
    panels[-1].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main(report: Callable[[str], None] = print) -> None:
    for line in table():
        report(line)
    plot(PLOT)
    report("")
    adversaries.main(report)


if __name__ == "__main__":
    main()
