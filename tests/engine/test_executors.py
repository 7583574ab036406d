"""The same engine over a worker in a thread and in a child process: pictures, faults, previews, one unit ahead."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest

from tests.helpers.executors import FAULTS, Reused, faulty_prompt, loaded_executor
from tests.helpers.four_requests import METHODS, SIDE, TOKENS, make_edit, outcomes, same_picture
from tests.helpers.waiting import until
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.executor import Executor
from zimage_engine.types import (
    Cancelled,
    Finished,
    ImageRequest,
    NumericalError,
    OutOfMemory,
    Plan,
    Step,
    Unit,
    UnitFailed,
)
from zimage_engine.weights import complete_profile

ENDS = {"exception": UnitFailed, "memory": OutOfMemory, "numbers": NumericalError}
CONFIG = EngineConfig(complete_profile(find_profile("demo")), "cpu", measure=False, batch_tokens=8 * TOKENS)

StartEngine = Callable[[], Engine]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("thread", 0.0), id="thread"),
        pytest.param(("thread", 1000.0), id="thread, ahead"),
        pytest.param(("process", 0.0), id="process", marks=pytest.mark.system),
        pytest.param(("process", 1000.0), id="process, ahead", marks=pytest.mark.system),
    ],
)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """A loaded executor of each kind, also with units of any length launched one ahead, as on a GPU."""
    kind, ahead_seconds = request.param
    with loaded_executor(kind, ahead_seconds=ahead_seconds) as loaded:
        yield loaded


@pytest.fixture
async def engine(executor: Executor) -> AsyncIterator[Engine]:
    started = Engine.start(CONFIG, lambda _: Reused(executor))
    await started.ready()
    yield started
    await started.close(timeout=10)


async def test_pictures_in_company_are_those_that_are_generated_alone(
    engine: Engine, undisturbed_edits: dict[str, bytes]
) -> None:
    ended = await outcomes(engine, make_edit)
    assert all(same_picture(data, undisturbed_edits[name]) for name, data in ended.items())


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_in_any_unit_fails_that_request_alone(
    engine: Engine, undisturbed_edits: dict[str, bytes], fault: str
) -> None:
    for unit in METHODS:
        bad = replace(make_edit("b"), id="bad", prompt=faulty_prompt(unit, fault))
        handle = engine.submit(bad, owner="bad")
        ended = await outcomes(engine, make_edit, "ac")
        with pytest.raises(ENDS[fault]):
            await handle.result()
        assert all(same_picture(data, undisturbed_edits[name]) for name, data in ended.items()), unit


async def test_a_preview_that_raises_costs_the_previews_of_that_picture_alone(
    engine: Engine, undisturbed_edits: dict[str, bytes]
) -> None:
    watched = replace(make_edit("a"), previews=True, steps=20)
    events = [event async for event in engine.submit(watched, owner=1)]
    assert any(isinstance(event, Step) and event.preview is not None for event in events)
    broken = replace(watched, id="broken", prompt=faulty_prompt("preview", "exception"))
    events = [event async for event in engine.submit(broken, owner=1)]
    assert isinstance(events[-1], Finished)
    assert not any(isinstance(event, Step) and event.preview is not None for event in events)
    ended = await outcomes(engine, make_edit)
    assert all(same_picture(data, undisturbed_edits[name]) for name, data in ended.items())


async def test_a_cancelled_request_ends_after_its_unit_and_the_next_begins(engine: Engine) -> None:
    handle = engine.submit(replace(make_edit("a"), steps=20, strength=1.0), owner=1)
    waiting = engine.submit(make_edit("c"), owner=2)
    async for event in handle:
        if isinstance(event, Step) and event.done == 3:
            handle.cancel()
        last = event
    assert isinstance(last, Cancelled)
    assert last.steps_done < 20
    assert (await waiting.result()).image.width == SIDE


async def test_a_picture_s_first_unit_alone_carries_its_request(executor: Executor) -> None:
    """An original in memory is sent once, however many steps there are."""
    sent: list[tuple[Unit | None, int]] = []

    class Weighed(Reused):
        def launch(self, plan: Plan):
            sent.append((plan.unit, len(pickle.dumps(plan))))
            return super().launch(plan)

    engine = Engine.start(CONFIG, lambda _: Weighed(executor))
    original = replace(make_edit("a"), steps=4, prompt="a red circle, " * 100)
    await engine.submit(original, owner=1).result()
    await engine.close()
    sizes = [size for unit, size in sent if unit is not Unit.ENCODE_TEXT]
    assert len(sizes) >= 4
    assert max(sizes) < 500 < max(size for unit, size in sent if unit is Unit.ENCODE_TEXT)


async def test_what_is_cancelled_is_freed_without_waiting_for_another_request(engine: Engine) -> None:
    plans: list[Plan] = []
    launch = engine._fleet.drivers[0]._executor.launch  # type: ignore[union-attr]
    engine._fleet.drivers[0]._executor.launch = lambda plan: plans.append(plan) or launch(plan)  # type: ignore[union-attr,method-assign]
    handle = engine.submit(ImageRequest("gone", "a red circle", SIDE, SIDE, 20, 1), owner=1)
    async for event in handle:
        if isinstance(event, Step) and event.done == 1:
            handle.cancel()
    await until(lambda: plans[-1].release == ("gone",))
    engine.forget(1)
    await until(lambda: bool(plans[-1].forget))
