"""An engine of two models on one device, with room for both and for one at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from tests.helpers.four_requests import same_picture
from tests.helpers.toy_worker import load_swapping_toy
from tests.helpers.two_models import (
    SECOND,
    build_second_model,
    draw,
    load_with_room_for_one,
    request_of,
    two_models,
)
from zimage_engine.config import EngineConfig
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.executor import ThreadExecutor

LOADS = {"both": lambda config, report: Worker.load(config, report=report), "one": load_with_room_for_one}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> EngineConfig:
    return two_models(build_second_model(tmp_path_factory.mktemp("models") / "second"))


@pytest.fixture(scope="module")
def alone(config: EngineConfig) -> Worker:
    """Return a worker that nobody else uses."""
    return Worker.load(config)


@pytest.fixture(params=["both", "one"])
async def engine(config: EngineConfig, alone: Worker, request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """Start an engine; after ``alone``, since this changes for a moment how much memory seems to be free."""
    load: Callable[..., Worker] = LOADS[request.param]
    started = Engine.start(config, lambda _: ThreadExecutor(lambda report: load(config, report)))
    yield started
    await started.close(timeout=10)


async def test_the_pictures_are_those_of_each_model(engine: Engine, alone: Worker) -> None:
    handles = {
        (model, number): engine.submit(request_of(model, f"{model} {number}", seed=number), owner=number)
        for number in range(2)
        for model in ("demo", SECOND)
    }
    for (model, number), handle in handles.items():
        image = (await handle.result()).image
        assert same_picture(image.data, draw(alone, request_of(model, seed=number)))


async def test_what_was_measured_when_a_model_was_loaded_counts_from_then_on(
    config: EngineConfig, tmp_path: Path
) -> None:
    request = request_of(SECOND, seed=1)
    async with Engine.start(config, lambda _: ThreadExecutor(partial(load_swapping_toy, tmp_path))) as toys:
        estimated = toys.seconds_alone(request)
        await toys.submit(request, owner=1).result()
        assert toys.seconds_alone(request) > 100 * estimated, "half a second for each token"
