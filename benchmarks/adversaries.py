"""What members can do to take more than their part, and how long another member then waits.

``python -m benchmarks.simulation`` prints the table and writes ``docs/images/adversaries.png``.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.policies import Fifo
from benchmarks.simulated import Device
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.scheduling.tasks import Task

PLOT = Path("docs/images/adversaries.png")
POLICIES: dict[str, type[Scheduler]] = {"virtual finish": Scheduler, "FIFO": Fifo}
VICTIM, HERE, ELSEWHERE = "victim", "the victim's server", "another server"
_SECONDS = 600.0

Feed = Callable[[Device, list[Task]], None]
"""Adds requests to the device and to the list of the adversary's own. Called before each unit."""


@dataclass(frozen=True)
class Adversary:
    """Somebody who keeps requests waiting by ``feed``.

    ``equal`` is how many times longer than alone the victim's pictures would take if those who wait had equal parts.
    """

    name: str
    feed: Feed
    equal: float


def adversaries() -> list[Adversary]:
    flood = keep(lambda device, _: device.ask("adversary", ELSEWHERE))

    def cancelling(device: Device, waiting: list[Task]) -> None:
        for task in waiting:
            if task.id in device.scheduler.tasks and task.steps_left == 1:
                device.scheduler.remove(task.id)
        flood(device, waiting)

    def new_account(server: str) -> Callable[[Device, int], Task]:
        return lambda device, number: device.ask(f"new {number}", server, side=512)

    return [
        Adversary("20 large requests waiting", flood, 2),
        Adversary(
            "20 tiny requests waiting",
            keep(lambda device, _: device.ask("adversary", ELSEWHERE, side=512, steps=1)),
            2,
        ),
        Adversary("cancels each at its last step", cancelling, 2),
        Adversary(
            "4 accounts in another server",
            keep(lambda device, number: device.ask(f"account {number % 4}", ELSEWHERE)),
            2,
        ),
        Adversary(
            "4 accounts in the victim's server",
            keep(lambda device, number: device.ask(f"account {number % 4}", HERE)),
            5,
        ),
        Adversary(
            "20 members of another server",
            keep(lambda device, number: device.ask(f"member {number % 20}", ELSEWHERE)),
            2,
        ),
        Adversary("new accounts for ever in another server, 20 at once", keep(new_account(ELSEWHERE)), 2),
        Adversary("new accounts for ever in the victim's server, 1 at once", keep(new_account(HERE), 1), 2),
        Adversary("new accounts for ever in the victim's server, 4 at once", keep(new_account(HERE), 4), 5),
        Adversary(
            "new servers for ever, 1 at once",
            keep(lambda device, number: device.ask("member", f"server {number}", side=512), 1),
            2,
        ),
    ]


def keep(ask: Callable[[Device, int], Task], at_once: int = 20) -> Feed:
    """Return a feed that keeps ``at_once`` requests waiting, made by ``ask`` from a running number."""
    numbers = itertools.count()

    def feed(device: Device, waiting: list[Task]) -> None:
        waiting[:] = [task for task in waiting if task.id in device.scheduler.tasks]
        while len(waiting) < at_once:
            waiting.append(ask(device, next(numbers)))

    return feed


def slowdowns(policy: type[Scheduler], adversary: Adversary) -> list[float]:
    """Return how many times longer than alone each of the victim's pictures took, who asks for one after another."""
    device = Device(policy)
    waiting: list[Task] = []
    times: list[float] = []
    mine, asked = None, 0.0
    while device.clock < _SECONDS:
        adversary.feed(device, waiting)
        if mine is None or mine.id in device.ended:
            if mine is not None:
                times.append((device.ended[mine.id] - asked) / device.seconds_alone())
            mine, asked = device.ask(VICTIM, HERE), device.clock
        device.serve()
    # A picture that never ended counts with the time that it has waited.
    return times or [(device.clock - asked) / device.seconds_alone()]


def main(report: Callable[[str], None] = print) -> None:
    results = {
        adversary.name: {name: slowdowns(policy, adversary) for name, policy in POLICIES.items()}
        for adversary in adversaries()
    }
    report("| adversary | equal parts | virtual finish, mean | worst | FIFO, mean | worst |")
    report("|---|---|---|---|---|---|")
    for adversary in adversaries():
        columns = [f"{adversary.equal:g} ×"]
        for times in results[adversary.name].values():
            columns += [f"{statistics.mean(times):.1f} ×", f"{max(times):.1f} ×"]
        report(f"| {adversary.name} | {' | '.join(columns)} |")
    plot(results)


def plot(results: dict[str, dict[str, list[float]]]) -> None:
    """Plot the mean slowdown of the victim's pictures, a row for each adversary."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panel = figure.subplots()
    for number, (policy, colour) in enumerate(zip(POLICIES, ("tab:blue", "lightgray"), strict=True)):
        rows = [row + 0.19 * (2 * number - 1) for row in range(len(results))]
        means = [statistics.mean(times[policy]) for times in results.values()]
        panel.barh(rows, means, height=0.36, color=colour, label=policy)
    equal = [adversary.equal for adversary in adversaries()]
    panel.plot(equal, range(len(equal)), "|", color="black", markersize=22, markeredgewidth=2, label="equal parts")
    panel.set_yticks(range(len(results)), list(results))
    panel.invert_yaxis()
    panel.set_xscale("log", base=2)
    panel.set_xlim(left=1)
    panel.xaxis.set_major_formatter("{x:g} ×")
    panel.set_xlabel("the victim's pictures: time ÷ time alone")
    panel.grid(alpha=0.3, axis="x")
    panel.legend(frameon=False, loc="lower right")
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOT, dpi=110)


if __name__ == "__main__":
    main()
