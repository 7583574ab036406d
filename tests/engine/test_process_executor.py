"""A child process that dies, hangs or cannot be loaded, and a parent that is killed; with a worker without a model."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.helpers.toy_worker import load_toy
from tests.helpers.waiting import until
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.executor import LoadWorker
from zimage_engine.process_executor import ProcessExecutor
from zimage_engine.types import (
    DeviceLost,
    EngineClosed,
    ImageRequest,
    ModelNotFound,
    NewRequest,
    Plan,
    Unit,
    UnitFailed,
    WorkerLost,
)
from zimage_engine.weights import Report, complete_profile

PROFILE = complete_profile(find_profile("demo"))
StartToy = Callable[..., Engine]


def ask(name: str, prompt: str = "a red circle", seed: int = 7) -> ImageRequest:
    return ImageRequest(name, prompt, 256, 256, 2, seed)


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[StartToy]:
    engines: list[Engine] = []

    def made(load: LoadWorker | None = None, **changes: float) -> Engine:
        load = load or partial(load_toy, tmp_path)
        config = EngineConfig(PROFILE, "cpu", measure=False, **changes)  # type: ignore[arg-type]
        engines.append(Engine.start(config, lambda _: ProcessExecutor(load, PROFILE.max_pixels)))
        return engines[-1]

    yield made
    for engine in engines:
        await engine.close(timeout=5)


def children(folder: Path) -> list[int]:
    """Return the process ids of the workers that were loaded in the folder."""
    return [int(path.name.split()[1]) for path in folder.glob("pid *")]


async def test_pixels_come_through_shared_memory_that_is_freed(start: StartToy, tmp_path: Path) -> None:
    engine = start()
    await engine.ready()
    for number in range(5):
        image = (await engine.submit(ask(f"{number}", seed=number), owner=1).result()).image
        assert image.data == bytes([number]) * (3 * 256 * 256)
    maps = Path(f"/proc/{children(tmp_path)[0]}/maps").read_text(encoding="utf-8")
    names = list(set(re.findall(r"/(psm_\w+)", maps)))
    assert len(names) == 1
    await engine.close()
    with pytest.raises(FileNotFoundError):
        SharedMemory(names[0])
    assert not psutil.pid_exists(children(tmp_path)[0])


@pytest.mark.parametrize("accident", ["die", "raise"])
async def test_a_worker_that_is_lost_is_replaced_and_every_picture_comes(
    start: StartToy, tmp_path: Path, accident: str
) -> None:
    engine = start()
    handles = [engine.submit(ask("bad", f"{accident} once"), owner=1), engine.submit(ask("good"), owner=2)]
    for handle in handles:
        assert (await handle.result()).image.data[0] == 7
    assert len(children(tmp_path)) == 2


async def test_a_worker_that_dies_while_nothing_runs_is_replaced_before_it_is_needed(
    start: StartToy, tmp_path: Path
) -> None:
    engine = start()
    await engine.ready()
    os.kill(children(tmp_path)[0], signal.SIGKILL)
    await until(lambda: len(children(tmp_path)) == 2, 10)
    assert (await engine.submit(ask("a"), owner=1).result()).image.data[0] == 7


async def test_a_device_that_hangs_is_killed_and_replaced(start: StartToy, tmp_path: Path) -> None:
    engine = start(unit_limit=1.5)
    bad, good = engine.submit(ask("bad", "hang"), owner=1), engine.submit(ask("good"), owner=2)
    assert (await good.result()).image.data[0] == 7
    with pytest.raises(UnitFailed, match="twice"):
        await bad.result()
    assert (await engine.submit(ask("next"), owner=1).result()).image.data[0] == 7
    assert len(children(tmp_path)) == 3
    assert engine.stats().state == "ready"


async def test_loading_that_hangs_is_killed_and_tried_again(start: StartToy, tmp_path: Path) -> None:
    engine = start(partial(load_toy, tmp_path, hang=True), load_limit=6.0)
    await engine.ready()
    assert (await engine.submit(ask("a"), owner=1).result()).image.data[0] == 7
    assert len(children(tmp_path)) == 2


async def test_requests_that_kill_the_device_fail_and_the_engine_goes_on(start: StartToy) -> None:
    engine = start()
    handles = [engine.submit(ask(f"{number}", "die"), owner=number) for number in range(2)]
    for handle in handles:
        with pytest.raises(UnitFailed, match="twice"):
            await handle.result()
    assert (await engine.submit(ask("next"), owner=1).result()).image.data[0] == 7


def _die(report: Report) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _no_weights(report: Report) -> None:
    report("reading the transformer")
    logging.getLogger("zimage_engine.test").warning("the disk is slow")
    raise ModelNotFound("There are no weights in /nowhere.")


async def test_a_worker_that_dies_while_loading_is_noticed_at_once(start: StartToy) -> None:
    began = time.monotonic()
    engine = start(_die)
    with pytest.raises(DeviceLost):
        await engine.ready()
    assert time.monotonic() - began < 30, "not the limit of loading"


async def test_a_model_that_cannot_be_loaded_says_why_here_and_in_the_log(
    start: StartToy, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        engine = start(_no_weights)
        with pytest.raises(ModelNotFound, match="no weights in /nowhere"):
            await engine.ready()
    assert "the disk is slow" in caplog.text
    assert "loading: reading the transformer" in caplog.text


def test_a_worker_that_does_not_hang_ends_by_itself(tmp_path: Path) -> None:
    executor = ProcessExecutor(partial(load_toy, tmp_path), PROFILE.max_pixels)
    executor.load(lambda _: None)
    executor.kill(10)
    assert executor._process is not None
    assert executor._process.exitcode == 0


@dataclass(frozen=True)
class Fatal(ImageRequest):
    """A request in whose pickling the worker dies, and its end is noticed."""

    executor: Any = None

    def __reduce__(self) -> Any:
        os.kill(self.executor._process.pid, signal.SIGKILL)
        while self.executor.lost is None:
            time.sleep(0.01)
        self.executor._receiver.join(0.2)
        return ask, (self.id,)


def test_a_worker_that_dies_while_a_plan_is_sent_is_lost(tmp_path: Path) -> None:
    executor = ProcessExecutor(partial(load_toy, tmp_path), PROFILE.max_pixels)
    executor.load(lambda _: None)
    request = Fatal("a", "a red circle", 256, 256, 2, 7, executor=executor)
    with pytest.raises(WorkerLost, match="SIGKILL"):
        executor.wait(executor.launch(Plan(Unit.ENCODE_TEXT, ("a",), (NewRequest(request, "scope"),), ())))
    executor.kill(10)


async def test_closing_while_the_worker_loads_leaves_no_process(start: StartToy, tmp_path: Path) -> None:
    engine = start(partial(load_toy, tmp_path, hang=True))
    handle = engine.submit(ask("a"), owner=1)
    await until(lambda: bool(children(tmp_path)))
    began = time.monotonic()
    await engine.close(timeout=20)
    assert time.monotonic() - began < 10, "loading is not waited for"
    with pytest.raises(EngineClosed):
        await handle.result()
    await until(lambda: not psutil.pid_exists(children(tmp_path)[0]))


async def test_the_worker_leaves_signals_to_its_parent(start: StartToy, tmp_path: Path) -> None:
    """Ctrl-C and systemd send them to every process of the group."""
    engine = start()
    await engine.ready()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(children(tmp_path)[0], number)
    assert (await engine.submit(ask("a"), owner=1).result()).image.data[0] == 7
    assert len(children(tmp_path)) == 1


PARENT = """
import asyncio, sys
from functools import partial
from pathlib import Path
from tests.engine.test_process_executor import PROFILE, ask
from tests.helpers.toy_worker import load_toy
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.process_executor import ProcessExecutor

async def main():
    load = partial(load_toy, Path(sys.argv[1]))
    engine = Engine.start(EngineConfig(PROFILE), lambda _: ProcessExecutor(load, PROFILE.max_pixels))
    await engine.submit(ask("a", "hang"), owner=1).result()

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_the_worker_ends_within_two_seconds_of_its_parent_s_death(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, script, tmp_path], env=environment, stderr=subprocess.DEVNULL)
    try:
        await until(lambda: bool(children(tmp_path)), seconds=30)
        worker = psutil.Process(children(tmp_path)[0])
        await asyncio.sleep(0.5)  # it hangs in a step, most likely
        parent.kill()
        worker.wait(2)
    finally:
        parent.kill()


CARELESS = PARENT.replace('"hang"), owner=1).result()', '"a star"), owner=1).result()\n    sys.exit(3)')


def test_a_program_that_does_not_close_its_engine_ends(tmp_path: Path) -> None:
    script = tmp_path / "careless.py"
    script.write_text(CARELESS, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, script, tmp_path], env=environment, timeout=20, check=False).returncode == 3
    assert not psutil.pid_exists(children(tmp_path)[0])
