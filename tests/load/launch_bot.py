"""``zimage-bot run`` on a loopback Discord with a device that takes no time: ``python -m tests.load.launch_bot``.

The load is on the bot, not on a model. ``LOOPBACK`` and the settings are those of ``tests/helpers/launch_bot.py``;
``SAMPLES`` is a file that gets a line of JSON with the process's figures every second, ``FAILING`` the part of the
pictures that fail on the device. With ``CALLS`` the calls of the event loop's thread are profiled from the start of the
services on, and written to that file at the end: every call then takes longer.
"""

from __future__ import annotations

import asyncio
import atexit
import cProfile
import json
import os
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from bot.cli.main import main
from bot.services import Services
from tests.helpers.faults import Immediate
from tests.helpers.launch_bot import connect_to
from tests.load.pictures import textured
from zimage_engine import executor
from zimage_engine.config import EngineConfig
from zimage_engine.places import DevicePlace
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import ImageRequest, Plan, PlanResult, RawImage, Unit, UnitFailed
from zimage_engine.weights import Report

_UNIT_SECONDS = 0.001
_LOOKS = 20
"""How often a second the event loop's lag is measured."""
_TASKS: set[asyncio.Task[None]] = set()


class FastWorker(Immediate):
    """A worker whose units take a millisecond each. Every request of a size gets the same picture, hard to compress.

    ``failing`` is the part of the pictures that fail instead.
    """

    def __init__(self, failing: float = 0.0) -> None:
        super().__init__()
        costs = CostModel(
            base=_UNIT_SECONDS, linear=1e-7, encode_text=_UNIT_SECONDS, encode_token=0.0, pixel=1e-9, budget=8 * 96
        )
        self.costs = {"demo": costs}
        self._failing = failing
        self._held: dict[str, ImageRequest] = {}

    def execute(self, plan: Plan) -> PlanResult:
        for name in plan.release:
            self._held.pop(name, None)
        self._held |= {new.request.id: new.request for new in plan.new}
        time.sleep(_UNIT_SECONDS)
        if plan.unit is Unit.ENCODE_TEXT:
            return PlanResult(_UNIT_SECONDS, caption_tokens=dict.fromkeys(plan.ids, (20,)))
        if plan.unit is not Unit.DECODE:
            return PlanResult(_UNIT_SECONDS)
        images: dict[str, RawImage] = {}
        failures: dict[str, UnitFailed] = {}
        for name in plan.ids:
            request = self._held.pop(name)
            if request.seed % 1000 < self._failing * 1000:
                failures[name] = UnitFailed("The picture could not be generated.")
            else:
                images[name] = _picture(request.width, request.height)
        return PlanResult(_UNIT_SECONDS, images, failures)


@cache
def _picture(width: int, height: int) -> RawImage:
    return RawImage(width, height, textured(max(width, height)).crop((0, 0, width, height)).tobytes())


async def sample(path: Path) -> None:
    """Append the process's figures to a file every second, for ever.

    ``at`` is in ``time.monotonic()``, ``rss`` in bytes, ``cpu`` in seconds, also ``by_thread``; ``lag`` is by how many
    seconds the event loop was late at most since the line before.
    """
    process, loop = psutil.Process(), asyncio.get_running_loop()
    with path.open("a", encoding="utf-8") as file:
        while True:
            lag = 0.0
            for _ in range(_LOOKS):
                due = loop.time() + 1 / _LOOKS
                await asyncio.sleep(1 / _LOOKS)
                lag = max(lag, loop.time() - due)
            used = process.cpu_times()
            figures: dict[str, Any] = {
                "at": time.monotonic(),
                "rss": process.memory_info().rss,
                "handles": process.num_fds(),
                "threads": process.num_threads(),
                "tasks": len(asyncio.all_tasks()),
                "cpu": used.user + used.system,
                "lag": round(lag, 4),
                "by_thread": _cpu_by_thread(process),
            }
            file.write(json.dumps(figures) + "\n")
            file.flush()


def _cpu_by_thread(process: psutil.Process) -> dict[str, float]:
    """Return the seconds of CPU so far by the threads' names, without their numbers."""
    names = {thread.native_id: thread.name.rstrip("-_0123456789") for thread in threading.enumerate()}
    found: dict[str, float] = {}
    for thread in process.threads():
        name = names.get(thread.id, "other")
        found[name] = round(found.get(name, 0.0) + thread.user_time + thread.system_time, 3)
    return found


def watch(samples: Path | None, calls: Path | None) -> None:
    """Have the figures written, and the event loop's calls profiled, once the services begin to start."""
    start = Services.start

    async def started(self: Services, *arguments: Any) -> None:
        if samples is not None:
            _TASKS.add(asyncio.create_task(sample(samples), name="samples"))
        if calls is not None:
            profile = cProfile.Profile()
            profile.enable()
            atexit.register(profile.dump_stats, calls)
        await start(self, *arguments)

    Services.start = started  # type: ignore[method-assign]


def use_fast_worker(failing: float) -> None:
    """Have every executor of this process drive a :class:`FastWorker`."""

    def load(config: EngineConfig, place: DevicePlace, report: Report) -> FastWorker:
        del config, place, report
        return FastWorker(failing)

    executor.load_worker = load


if __name__ == "__main__":
    connect_to(os.environ["LOOPBACK"])
    use_fast_worker(float(os.environ.get("FAILING", "0")))
    watch(*(Path(os.environ[name]) if name in os.environ else None for name in ("SAMPLES", "CALLS")))
    sys.argv = ["zimage-bot", "run"]
    main()
