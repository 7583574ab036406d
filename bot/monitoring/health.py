"""Whether the bot does its work: the checks behind ``/healthz``, the container's healthcheck and systemd's watchdog."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable

import discord
import structlog

from bot.errors import Restarting
from bot.store.database import Database
from bot.store.facts import write_fact
from zimage_engine.engine import Engine

log = structlog.get_logger(__name__)

GATEWAY_GRACE_SECONDS = 60.0
"""How long a shard may be disconnected: to reconnect takes seconds, and happens every few hours."""
_DATABASE_SECONDS = 5.0
_KEPT_SECONDS = 10.0


class HealthChecks:
    """The checks by name. Each returns what is wrong in a few words, or an empty text."""

    def __init__(self, client: discord.AutoShardedClient, engine: Engine, database: Database) -> None:
        self._client = client
        self._engine = engine
        self._database = database
        self._connected_at: float | None = None
        self._read_at = 0.0
        self._problems: dict[str, str] = {}
        self._reading = asyncio.Lock()

    async def problems(self) -> dict[str, str]:
        """Return every check's name and what is wrong. Answers of the last ten seconds are used again."""
        async with self._reading:
            if not self._problems or time.monotonic() - self._read_at > _KEPT_SECONDS:
                checks: dict[str, Callable[[], Awaitable[str]]] = {
                    "gateway": self._check_gateway,
                    "driver": self._check_driver,
                    "database": self._check_database,
                }
                self._problems = {name: await check() for name, check in checks.items()}
                self._read_at = time.monotonic()
            return dict(self._problems)

    def devices(self) -> dict[str, str]:
        """Return what each device is doing, by its name: its state, and the names of the models that it holds."""
        return {
            device.name: f"{device.state} ({', '.join(device.models)})" if device.models else device.state
            for device in self._engine.stats().devices
        }

    async def _check_gateway(self) -> str:
        shards = self._client.shards
        closed = [number for number, shard in shards.items() if shard.is_closed()]
        if shards and not closed and self._client.is_ready():
            self._connected_at = time.monotonic()
            return ""
        if self._connected_at is None:
            return "not connected yet"
        away = time.monotonic() - self._connected_at
        if away <= GATEWAY_GRACE_SECONDS:
            return ""
        named = ", ".join(map(str, closed)) or "all"
        return f"shard {named} not connected for {away:.0f} s"

    async def _check_driver(self) -> str:
        state = self._engine.state
        return f"the engine has {state}" if state == "failed" else "the engine is closed" if state == "closed" else ""

    async def _check_database(self) -> str:
        try:
            async with asyncio.timeout(_DATABASE_SECONDS):
                await write_fact(self._database, "health_checked_at", str(int(time.time())))
        except TimeoutError:
            return f"no write in {_DATABASE_SECONDS:.0f} s"
        except (sqlite3.Error, OSError, Restarting) as error:
            log.warning("database_not_writable", reason=str(error))
            return f"not writable ({type(error).__name__})"
        return ""
