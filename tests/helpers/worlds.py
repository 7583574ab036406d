"""The bot as tests start it, and the type of the fixture that opens a simulated Discord."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import simcord

from bot.app import create_client
from bot.client import ZImageBot
from bot.playground.faulty_device import DeviceFaults
from bot.playground.world import World
from bot.settings import Settings
from tests.helpers.databases import add_database
from tests.helpers.engines import in_thread, load_worker, sketching, start_engine
from zimage_engine.config import EngineConfig
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.executor import UnitWorker

# SimCord looks every 0.05 s whether the bot is idle, and many tests spent most of their time waiting for that.
assert simcord.Env._settle_internal.__kwdefaults__["idle"] == 0.05
simcord.Env._settle_internal.__kwdefaults__["idle"] = 0.01

OpenWorld = Callable[..., AbstractAsyncContextManager[World]]


def new_client(
    settings: Settings, wrap: Callable[[Worker], UnitWorker] = lambda worker: worker, *, sketches: bool = True
) -> ZImageBot:
    """The whole program, not yet connected, over the process's shared weights and an up-to-date database.

    Its pictures are :func:`tests.helpers.engines.sketching`'s unless ``sketches`` is False.
    """

    def start(config: EngineConfig) -> Engine:
        return start_engine(config, (lambda worker: wrap(sketching(worker))) if sketches else wrap)

    add_database(settings.database_path)
    return create_client(settings, start_engine=start)


def new_faulty_client(settings: Settings, device: DeviceFaults) -> ZImageBot:
    """:func:`new_client` over a device whose faults can be switched on."""
    add_database(settings.database_path)
    return create_client(
        settings, start_engine=lambda config: device.start_engine(config, in_thread(lambda: load_worker(config)))
    )


async def restart(world: World, *, sketches: bool = True, **changes: object) -> None:
    """Close the bot and start it anew, with changed settings, on the same Discord and the same database.

    ``sketches`` is :func:`new_client`'s.
    """
    old = world.env.bot
    await old.close()
    await world.env.restart_bot(new_client(old.settings.model_copy(update=changes), sketches=sketches))
    await world.env.bot.model_ready()
