"""``zimage-bot demo``, where what it needs is not there."""

from __future__ import annotations

import pytest

from bot.app import create_client
from bot.errors import StartupError
from bot.playground.demo import wait_for_model
from bot.playground.world import open_world
from bot.settings import Settings
from tests.helpers.databases import add_database
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine


async def test_a_cluster_without_workers_ends_the_demo(settings: Settings) -> None:
    def start(config: EngineConfig) -> Engine:
        engine = Engine.start(config, places=())
        engine.expect_devices(expected=True)
        return engine

    on_cluster = settings.model_copy(update={"ray_address": "10.0.0.1:6379"})
    add_database(on_cluster.database_path)
    client = create_client(on_cluster, start_engine=start)
    async with open_world(client):
        with pytest.raises(
            StartupError, match=r"No worker was found in the Ray cluster \(RAY_ADDRESS=10\.0\.0\.1:6379\)"
        ):
            await wait_for_model(client, seconds=0.05)
