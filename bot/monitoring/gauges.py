"""Sets the gauges of :mod:`bot.metrics` to what holds now."""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from functools import partial
from pathlib import Path
from typing import get_args

import discord
import psutil

from bot import metrics
from bot.monitoring.health import HealthChecks
from bot.store.database import Database
from bot.store.health import Load, load
from bot.version import program_version
from zimage_engine.engine import Engine
from zimage_engine.stats import EngineState, WorkerState


class Gauges:
    """Reads the engine, the gateway, the database and the machine."""

    def __init__(
        self,
        client: discord.AutoShardedClient,
        engine: Engine,
        database: Database,
        health: HealthChecks,
        data_dir: Path,
    ) -> None:
        self._client = client
        self._engine = engine
        self._database = database
        self._health = health
        self._data_dir = data_dir

    async def update(self) -> None:
        """Set every gauge. Raises what the database raises; the others are set all the same."""
        self._set_engine()
        self._set_gateway()
        for name, problem in (await self._health.problems()).items():
            metrics.HEALTHY.labels(name).set(not problem)
        await asyncio.to_thread(_set_machine, self._data_dir)
        _set_jobs(await self._database.read(partial(load, now=int(time.time()))))

    def _set_engine(self) -> None:
        stats = self._engine.stats()
        metrics.INFO.clear()
        metrics.INFO.labels(program_version(), stats.model, stats.device).set(1)
        for state in get_args(EngineState):
            metrics.ENGINE_STATE.labels(state).set(state == stats.state)
        metrics.ENGINE_REQUESTS.labels("waiting").set(stats.waiting)
        metrics.ENGINE_REQUESTS.labels("running").set(stats.running)
        for gauge in (metrics.WORKER_RESTARTS, metrics.DEVICE_STATE, metrics.DEVICE_MODEL):
            gauge.clear()
        for device in stats.devices:
            metrics.WORKER_RESTARTS.labels(device.name).set(device.restarts)
            for each in get_args(WorkerState):
                metrics.DEVICE_STATE.labels(device.name, each).set(each == device.state)
            for model in device.models:
                metrics.DEVICE_MODEL.labels(device.name, model).set(1)

    def _set_gateway(self) -> None:
        metrics.GATEWAY_LATENCY.clear()
        metrics.GATEWAY_CONNECTED.clear()
        for number, shard in self._client.shards.items():
            metrics.GATEWAY_CONNECTED.labels(number).set(not shard.is_closed())
            if math.isfinite(shard.latency):
                metrics.GATEWAY_LATENCY.labels(number).set(shard.latency)


def _set_jobs(found: Load) -> None:
    metrics.JOBS_OPEN.clear()
    for (state, kind), count in found.open_jobs.items():
        metrics.JOBS_OPEN.labels(state, kind).set(count)
    metrics.OLDEST_WAIT.set(found.oldest_wait or 0)
    metrics.UNDELIVERED.set(found.undelivered)
    metrics.DATABASE_BYTES.set(found.database_bytes)


def _set_machine(data_dir: Path) -> None:
    metrics.DISK_FREE.set(shutil.disk_usage(data_dir).free)
    process = psutil.Process()
    metrics.MEMORY.labels("bot").set(process.memory_info().rss)
    children = 0
    for child in process.children(recursive=True):
        try:
            children += child.memory_info().rss
        except psutil.Error:  # it has ended
            continue
    metrics.MEMORY.labels("children").set(children)
