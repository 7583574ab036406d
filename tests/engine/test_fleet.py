"""The devices of one engine: they come, fail and leave while it runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.toy_worker import Toy, load_toy
from tests.helpers.waiting import until
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.executor import Executor, ThreadExecutor, UnitWorker
from zimage_engine.places import DevicePlace, parse_places
from zimage_engine.types import DeviceLost, EngineClosed, ImageRequest, ModelNotFound, NotAvailable, OutOfMemory
from zimage_engine.weights import complete_profile

PROFILE = complete_profile(find_profile("demo"))
CONFIG = EngineConfig(PROFILE, "cpu")
Load = Callable[[], UnitWorker]


def place(name: str) -> DevicePlace:
    return DevicePlace(name, "cpu", ("demo",))


def ask(name: str, prompt: str = "a red circle") -> ImageRequest:
    return ImageRequest(name, prompt, 256, 256, 2, 7)


def executors(loads: Mapping[str, Load]) -> Callable[[DevicePlace], Executor]:
    """Return what makes the executors of places with these names: threads with the workers that are returned."""
    return lambda place: ThreadExecutor(lambda _: loads[place.name]())


@asynccontextmanager
async def engine_of(**loads: Load) -> AsyncIterator[Engine]:
    """Yield an engine with a device for each name; without any, they are expected to be added."""
    engine = Engine.start(CONFIG, executors(loads), places=[place(name) for name in loads])
    yield engine
    await engine.close()


def fails(message: str) -> UnitWorker:
    raise ModelNotFound(message)


def states(engine: Engine) -> dict[str, str]:
    return {device.name: device.state for device in engine.stats().devices}


async def test_a_device_that_cannot_be_loaded_leaves_the_work_to_the_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine_of(bad=lambda: fails("no weights here"), good=lambda: load_toy(tmp_path, print)) as engine:
        await engine.ready()
        assert (await engine.submit(ask("a"), owner=1).result()).image.width == 256
        await until(lambda: states(engine) == {"bad": "failed", "good": "ready"})
        bad, good = engine.stats().devices
        assert (bad.failure, good.failure) == ("no weights here", "")
        assert good.busy_seconds > 0
        assert (engine.state, engine.stage) == ("ready", "")
        lost = asyncio.create_task(engine.lost())
        await asyncio.sleep(0)
        assert not lost.done()
        lost.cancel()
    assert "device failed: device=bad: no weights here" in caplog.text


async def test_the_engine_fails_when_no_device_can_be_loaded() -> None:
    submitted = threading.Event()

    def fails_later(message: str) -> UnitWorker:
        submitted.wait(30)
        return fails(message)

    async with engine_of(one=lambda: fails_later("the first"), two=lambda: fails_later("the second")) as engine:
        handle = engine.submit(ask("a"), owner=1)
        submitted.set()
        with pytest.raises(ModelNotFound, match="the first"):
            await engine.ready()
        with pytest.raises(ModelNotFound, match="the operator's log says why"):
            await handle.result()
        assert engine.state == "failed"


async def test_requests_wait_for_a_device_that_is_expected(tmp_path: Path) -> None:
    async with engine_of() as engine:
        handle = engine.submit(ask("a"), owner=1)
        assert (engine.state, engine.stats().device, engine.stats().devices) == ("loading", "loading", ())
        engine.add_device(place("late"), executors({"late": lambda: load_toy(tmp_path, print)}))
        await handle.result()
        with pytest.raises(ValueError, match="There is a device late already"):
            engine.add_device(place("late"), executors({}))
        engine.remove_device("late", DeviceLost("its node is gone"))
        await until(lambda: not engine.stats().devices)
        assert engine.state == "recovering"
        waiting = engine.submit(ask("b"), owner=1)
        engine.add_device(place("late"), executors({"late": lambda: load_toy(tmp_path, print)}))
        await waiting.result()


async def test_the_last_device_takes_the_engine_with_it(tmp_path: Path) -> None:
    async with engine_of(only=lambda: load_toy(tmp_path, print)) as engine:
        await engine.ready()
        engine.remove_device("unknown", DeviceLost("never heard of it"))
        engine.remove_device("only", OutOfMemory("its node is gone"))
        assert str(await asyncio.wait_for(engine.lost(), 10)) == "its node is gone"
        with pytest.raises(DeviceLost):
            engine.submit(ask("a"), owner=1)
    with pytest.raises(EngineClosed):
        engine.add_device(place("late"), executors({}))


async def test_requests_of_a_model_whose_only_device_failed_end(tmp_path: Path) -> None:
    second, failing = replace(PROFILE, name="second", title="Second"), threading.Event()

    def fails_later() -> UnitWorker:
        failing.wait(30)
        return fails("no weights here")

    loads = {"good": lambda: load_toy(tmp_path, print), "bad": fails_later}
    places = [place("good"), DevicePlace("bad", "cpu", ("second",))]
    engine = Engine.start(replace(CONFIG, other_profiles=(second,)), executors(loads), places=places)
    waiting = engine.submit(replace(ask("a"), model="second"), owner=1)
    failing.set()
    with pytest.raises(NotAvailable, match="No device for Second is left"):
        await asyncio.wait_for(waiting.result(), 10)
    with pytest.raises(NotAvailable, match="No device for Second is left"):
        engine.submit(replace(ask("b"), model="second"), owner=1)
    await engine.submit(ask("c"), owner=1).result()
    await engine.close()


async def test_a_failed_device_that_is_removed_is_forgotten() -> None:
    async with engine_of() as engine:
        for leave in (lambda: engine.remove_device("bad", DeviceLost("gone")), lambda: engine.drain_device("bad")):
            engine.add_device(place("bad"), executors({"bad": lambda: fails("no weights here")}))
            await until(lambda: states(engine) == {"bad": "failed"})
            leave()
            assert states(engine) == {}


async def test_requests_end_when_the_devices_cannot_be_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_to_probe() -> None:
        raise OSError("no process can be started")

    monkeypatch.setattr("zimage_engine.device.probe.probe", fails_to_probe)
    engine = Engine.start(replace(CONFIG, device="all"))
    with pytest.raises(NotAvailable, match=r"cannot be found \(OSError\)"):
        await asyncio.wait_for(engine.ready(), 5)
    with pytest.raises(ModelNotFound):
        engine.submit(ask("a"), owner=1)
    await engine.close()


async def test_nothing_is_expected_any_more_and_the_engine_fails() -> None:
    async with engine_of() as engine:
        handle = engine.submit(ask("a"), owner=1)
        engine.expect_devices(expected=False)
        for ended in (engine.ready(), handle.result()):
            with pytest.raises(ModelNotFound):
                await ended


async def test_a_device_that_drains_ends_what_it_has_begun(tmp_path: Path) -> None:
    entered, gate = threading.Event(), threading.Event()

    class Slow(Toy):
        def _have_an_accident(self, prompt: str) -> None:
            entered.set()
            gate.wait(30)

    async with engine_of(old=lambda: Slow(tmp_path)) as engine:
        engine.expect_devices(expected=True)
        begun = engine.submit(ask("a"), owner=1)
        await until(entered.is_set)
        engine.drain_device("old")
        assert states(engine) == {"old": "draining"}
        assert engine.stats().devices[0].running == 1
        later = engine.submit(ask("b"), owner=1)
        gate.set()
        await begun.result()
        await until(lambda: not engine.stats().devices)
        assert engine.stats().waiting == 1
        engine.add_device(place("new"), executors({"new": lambda: load_toy(tmp_path, print)}))
        await later.result()


async def test_a_device_is_drained_while_it_loads() -> None:
    gate = threading.Event()

    def slow() -> UnitWorker:
        gate.wait(30)
        raise ModelNotFound("too late")

    async with engine_of() as engine:
        engine.add_device(place("slow"), executors({"slow": slow}))
        engine.drain_device("slow")
        await until(lambda: not engine.stats().devices)
        gate.set()


async def test_the_default_places_are_those_of_the_configuration() -> None:
    assert parse_places("cpu*2", [PROFILE])[1].name == "cpu#2"
    with pytest.raises(Exception, match="is not a device"):
        Engine.start(EngineConfig(PROFILE, "a toaster"))
