"""An engine of two models on one device, with room for both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest

from tests.helpers.four_requests import same_picture
from tests.helpers.two_models import (
    SECOND,
    build_second_model,
    draw,
    request_of,
    two_models,
)
from zimage_engine.config import EngineConfig
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.executor import ThreadExecutor


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> EngineConfig:
    return two_models(build_second_model(tmp_path_factory.mktemp("models") / "second"))


@pytest.fixture
async def engine(config: EngineConfig) -> AsyncIterator[Engine]:
    started = Engine.start(config, lambda place: ThreadExecutor(partial(Worker.load, config, place)))
    yield started
    await started.close(timeout=10)


async def test_the_pictures_are_those_of_each_model(engine: Engine, config: EngineConfig) -> None:
    alone = Worker.load(config)
    handles = {
        (model, number): engine.submit(request_of(model, f"{model} {number}", seed=number), owner=number)
        for number in range(3)
        for model in ("demo", SECOND)
    }
    for (model, number), handle in handles.items():
        image = (await handle.result()).image
        assert same_picture(image.data, draw(alone, request_of(model, seed=number)))
