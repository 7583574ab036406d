"""Models that are swapped, as each kind of executor shows them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.helpers.toy_worker import load_swapping_toy
from tests.helpers.two_models import (
    SECOND,
    build_second_model,
    draw,
    load_with_room_for_one,
    loading,
    plans_of,
    request_of,
    two_models,
)
from zimage_engine.executor import Executor, ThreadExecutor
from zimage_engine.process_executor import ProcessExecutor
from zimage_engine.types import Unit


def make_executor(kind: str, load: object) -> Executor:
    return ThreadExecutor(load) if kind == "thread" else ProcessExecutor(load, 512 * 512)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_what_a_plan_changes_is_seen_when_its_result_is(kind: str, tmp_path: Path) -> None:
    executor = make_executor(kind, partial(load_swapping_toy, tmp_path))
    executor.load(lambda _: None)
    try:
        demo = executor.costs["demo"]
        demo.correction[Unit.DENOISE] = 3.0
        assert executor.models == {"demo"}
        result = executor.wait(executor.launch(loading("second")))
        assert result.models == executor.models == {"second"}
        assert executor.costs["second"].linear == 0.5
        assert executor.costs["demo"] is demo, "the engine corrects it"
        assert executor.load_seconds == {"demo": 4.0, "second": 4.0}
    finally:
        executor.kill(5)


@pytest.mark.system  # the child imports torch
def test_a_child_process_swaps_models(tmp_path: Path) -> None:
    config = two_models(build_second_model(tmp_path / "second"))
    load = partial(load_with_room_for_one, config)
    here, executor = load(lambda _: None), make_executor("process", load)
    executor.load(lambda _: None)
    try:
        for name in ("demo", SECOND, "demo"):
            for loaded in (here.begin(loading(name))(), executor.wait(executor.launch(loading(name)))):
                assert (loaded.models, loaded.failures) == ({name}, {})
            ask = request_of(name)
            results = [executor.wait(executor.launch(plan)) for plan in plans_of(ask)]
            assert results[-1].images["a"].data == draw(here, ask)
        assert executor.models == {"demo"}
        assert executor.load_seconds.keys() == executor.costs.keys() == {"demo", SECOND}
        assert executor.wait(executor.launch(loading("turbo"))).failures.keys() == {"x"}
    finally:
        executor.kill(10)
