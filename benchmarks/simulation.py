"""Virtual finish against FIFO and lockstep batching on simulated traces: ``python -m benchmarks.simulation``.

Time is the cost model's, from the roofline of Z-Image-Turbo on an RTX 4090 (docs/engine.md); nothing is generated.
Prints a table and writes ``docs/images/scheduling.png``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.policies import Fifo, Lockstep
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.scheduling.tasks import Task
from zimage_engine.types import Unit

PLOT = Path("docs/images/scheduling.png")
POLICIES: dict[str, type[Scheduler]] = {"virtual finish": Scheduler, "FIFO": Fifo, "lockstep": Lockstep}
_TOKENS = {512: 1024 + 128, 768: 2304 + 128, 1024: 4096 + 128}
_STEPS = 8


@dataclass(frozen=True)
class Ask:
    """A request for one picture, ``at`` seconds after the start."""

    at: float
    owner: str
    side: int


def turbo_costs() -> CostModel:
    """Return the seconds of an RTX 4090 at 60 % of its peak by the roofline; batches of up to two 512²."""
    return CostModel(base=0.004, linear=1.05e-4, square=4.5e-9, encode_text=0.03, pixel=1.5e-7, budget=2 * _TOKENS[512])


def task_of(number: int, ask: Ask, costs: CostModel) -> Task:
    tokens = _TOKENS[ask.side]
    units = (Unit.ENCODE_TEXT, *(Unit.DENOISE,) * _STEPS, Unit.DECODE)
    seconds = {
        Unit.ENCODE_TEXT: costs.encode(),
        Unit.DENOISE: costs.step(tokens),
        Unit.DECODE: costs.decode(ask.side**2),
    }
    return Task(str(number), ask.owner, units, seconds, shape=tokens, tokens=tokens)


def traces() -> dict[str, list[Ask]]:
    """Return typical loads of servers: a flood by one member, a burst of all sizes, steady use, all at once."""
    rng = np.random.default_rng(1)
    sides = [512, 768, 1024]
    steady = np.cumsum(rng.exponential(4.0, size=120))
    return {
        "one behind forty": [Ask(0.0, "flood", 1024)] * 40 + [Ask(5.0, "one", 1024)],
        "mixed burst": [Ask(0.0, "heavy", 1024)] * 12
        + [Ask(0.1, f"light {i}", 512) for i in range(5) for _ in range(1 + i % 4)],
        "steady, many": [Ask(float(at), f"u{rng.integers(20)}", int(rng.choice(sides))) for at in steady],
        "all at once": [Ask(0.0, f"u{i}", 512) for i in range(24)],
    }


def waits(policy: type[Scheduler], asks: list[Ask]) -> list[float]:
    """Return the seconds from each request to its picture."""
    costs = turbo_costs()
    alone = task_of(0, Ask(0, "", 1024), costs)
    scheduler = policy(costs, burst=sum(alone.costs[unit] for unit in alone.units))
    coming = sorted(enumerate(asks), key=lambda pair: pair[1].at)
    clock, ends = 0.0, dict[str, float]()
    while coming or scheduler.tasks:
        while coming and (coming[0][1].at <= clock or not scheduler.tasks):
            number, ask = coming.pop(0)
            clock = max(clock, ask.at)
            scheduler.add(task_of(number, ask, costs))
        batch = scheduler.next()
        assert batch is not None
        clock += scheduler.seconds(batch)
        scheduler.served(batch)
        for task in batch.tasks:
            if task.key is None:
                scheduler.set_key(task, task.shape, task.tokens, task.costs[Unit.DENOISE])
            if task.done == len(task.units):
                ends[task.id] = clock
    return [ends[str(number)] - ask.at for number, ask in enumerate(asks)]


def slowdowns(policy: type[Scheduler], asks: list[Ask]) -> list[float]:
    """Return how many times longer than alone each request took."""
    alone = {side: waits(Scheduler, [Ask(0.0, "", side)])[0] for side in _TOKENS}
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


if __name__ == "__main__":
    main()
