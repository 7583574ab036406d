"""Shared by the tests of faults: engines of the demo model, and pictures to compare with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.engines import in_thread, load_worker
from tests.helpers.four_requests import TOKENS, Wrap, draw_each_alone, make_edit, make_request
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.weights import complete_profile


@pytest.fixture
async def start_demo() -> AsyncIterator[Callable[..., Engine]]:
    """Starts engines of the demo model on the CPU, and closes them after the test.

    ``start_demo(wrap, load, **config)``: ``wrap`` replaces the worker or changes its model.
    """
    engines: list[Engine] = []

    def made(
        wrap: Wrap = lambda worker: worker, load: Callable[[EngineConfig], Worker] = load_worker, **changes: Any
    ) -> Engine:
        profile = complete_profile(find_profile("demo"))
        # With fixed costs, batches are the same on every machine.
        config = EngineConfig(profile, "cpu", measure=False, batch_tokens=4 * TOKENS, **changes)
        engines.append(Engine.start(config, in_thread(lambda: wrap(load(config)))))
        return engines[-1]

    yield made
    for engine in engines:
        await engine.close(timeout=5)


@pytest.fixture(scope="module")
def undisturbed(cache_dir: Path) -> dict[str, bytes]:
    """Return the pictures of the four requests, each generated alone."""
    return draw_each_alone(make_request, cache_dir)


@pytest.fixture(scope="module")
def undisturbed_edits(cache_dir: Path) -> dict[str, bytes]:
    """Return the pictures of the four edits, each generated alone."""
    return draw_each_alone(make_edit, cache_dir)
