"""Shared by all tests: settings in a temporary folder, and a simulated Discord with the real bot in it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

# More test processes run than there are cores, so each of them and of their children computes in one thread.
# OpenMP reads this when torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import hypothesis
import pytest

pytest.register_assert_rewrite("tests.helpers")

from bot.logs import configure_logging
from bot.settings import Settings
from bot.store.database import Database
from tests.helpers.databases import add_database

if TYPE_CHECKING:
    from bot.playground.world import World
    from tests.helpers.worlds import OpenWorld
    from zimage_engine.device.worker import Worker
    from zimage_engine.executor import UnitWorker

# Machines are busy at times; a slow example is no fault.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")


def pytest_xdist_auto_num_workers() -> int:
    """Return half as many processes again as there are cores: tests wait for child processes and for timers, too."""
    return (os.cpu_count() or 1) * 3 // 2


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the engine measures of this machine, once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def checked_settings(cache_dir: Path) -> Settings:
    """Checked once for all tests: to look for each setting in its sources takes longer than most tests."""
    return Settings.in_code(cache_dir=cache_dir, profile="demo", device="cpu", progress_interval=0.1)


@pytest.fixture
def settings(tmp_path: Path, checked_settings: Settings) -> Settings:
    return checked_settings.model_copy(update={"data_dir": tmp_path / "data"})


@pytest.fixture(autouse=True)
def logs(settings: Settings) -> None:
    """Log as ``zimage-bot run`` does."""
    configure_logging(settings)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An open database with no rows in it: ``tmp_path / "bot.sqlite3"``."""
    opened = await Database.open(add_database(tmp_path / "bot.sqlite3"))
    yield opened
    await opened.close()


@pytest.fixture
def world_of(settings: Settings, request: pytest.FixtureRequest) -> OpenWorld:
    """Opens a world: ``async with world_of(wrap, load=…, **settings) as world``.

    ``wrap`` gets the engine's worker and returns what the engine drives instead. Without ``load`` the model may still
    be loading when the world is open. ``world.env.bot`` is the client. Its pictures are coarse unless the test has the
    mark ``pictures``.
    """
    # Not above: the process that hands out the tests reads this file too, and needs neither torch nor the bot.
    from bot.playground.world import open_world  # noqa: PLC0415
    from tests.helpers.worlds import new_client  # noqa: PLC0415

    sketches = request.node.get_closest_marker("pictures") is None

    @asynccontextmanager
    async def opened(
        wrap: Callable[[Worker], UnitWorker] = lambda worker: worker, *, load: bool = True, **changes: object
    ) -> AsyncIterator[World]:
        client = new_client(settings.model_copy(update=changes), wrap, sketches=sketches)
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
