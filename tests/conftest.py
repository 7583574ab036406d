"""Shared by all tests: settings in a temporary folder, and a simulated Discord with the real bot in it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

# Tests run in as many processes as there are cores; before torch is imported, each is given its share of threads.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _WORKERS)))

import hypothesis
import pytest

pytest.register_assert_rewrite("tests.helpers")

from bot.app import create_client
from bot.logs import configure_logging
from bot.playground.world import World, open_world
from bot.settings import Settings
from tests.helpers.worlds import OpenWorld
from zimage_engine.config import EngineConfig
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.executor import Executor

# Machines are busy at times; a slow example is no fault.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the engine measures of this machine, once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def settings(tmp_path: Path, cache_dir: Path) -> Settings:
    return Settings.in_code(
        data_dir=tmp_path / "data", cache_dir=cache_dir, profile="demo", device="cpu", progress_interval=0.1
    )


@pytest.fixture(autouse=True)
def logs(settings: Settings) -> None:
    """Log as ``zimage-bot run`` does."""
    configure_logging(settings)


@pytest.fixture
def world_of(settings: Settings) -> OpenWorld:
    """Opens a world: ``async with world_of(worker=…, **settings) as world``. ``world.env.bot`` is the client."""

    @asynccontextmanager
    async def opened(
        wrap: Callable[[Executor], Executor] | None = None, *, load: bool = True, **changes: object
    ) -> AsyncIterator[World]:
        def start_engine(config: EngineConfig) -> Engine:
            if wrap is None:
                return Engine.start(config)
            return Engine.start(config, lambda: wrap(Worker.load(config)))

        client = create_client(settings.model_copy(update=changes), start_engine=start_engine)
        async with open_world(client) as world:
            if load:
                await client.model_ready()
            yield world
        # What the bot swallowed fails the test, unless the test has looked at env.errors itself.
        world.env._raise_errors_since(world.env._errors_acknowledged)

    return opened


@pytest.fixture
async def world(world_of: OpenWorld) -> AsyncIterator[World]:
    async with world_of() as opened:
        yield opened
