"""Everything about the bot that is seen from outside, started and stopped as one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import aiohttp
import discord
import structlog

from bot import metrics
from bot.monitoring.alert_places import AlertPlaces
from bot.monitoring.alerts import Alerts
from bot.monitoring.gauges import Gauges
from bot.monitoring.health import HealthChecks
from bot.monitoring.server import MonitoringServer
from bot.monitoring.supervisor import Supervisor, SupervisorSettings
from bot.plurals import counted
from bot.services import Services
from bot.settings import Settings
from zimage_engine.stats import UnitRecord
from zimage_engine.types import DeviceLost, EngineError, Unit

log = structlog.get_logger(__name__)

CHECK_SECONDS = 60.0
"""The time between two checks."""
_TIMER_SECONDS = 0.1
_REASONS_LIMIT = 500
_LAST_ALERT_SECONDS = 3.0
"""How long closing may take to tell why."""


class Monitor:
    """Serves metrics and health, keeps systemd's watchdog informed, and sends alerts.

    Call :meth:`start` once set up; the client calls :meth:`check` every :data:`CHECK_SECONDS`.
    """

    def __init__(self, client: discord.AutoShardedClient, services: Services, settings: Settings) -> None:
        self._services = services
        self._data_dir = settings.data_dir
        self.alerts = Alerts(client, services.database, settings.alert_channel, settings.alert_webhook)
        self.alert_places = AlertPlaces(client, settings.alert_channel, settings.alert_webhook)
        self.health = HealthChecks(client, services.engine, services.database)
        self.supervisor = Supervisor(SupervisorSettings())
        gauges = Gauges(client, services.engine, services.database, self.health, settings.data_dir)
        address = settings.metrics_address
        self.server = MonitoringServer(address, gauges, self.health) if address is not None else None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin. Raises :class:`~bot.errors.StartupError` if ``METRICS_ADDR`` cannot be used."""
        self._services.engine.observe(observe_unit)
        if self.server is not None:
            await self.server.start()
            self._tasks.append(asyncio.create_task(_measure_lag(), name="event loop lag"))
        if self.supervisor.watchdog_seconds is not None:
            self._repeat("watchdog", self.supervisor.watchdog_seconds, self._tell_watchdog)

    async def close(self) -> None:
        """End; what fails is logged. The operator is told first if the engine has failed, which ends the bot."""
        try:
            await self._close()
        except Exception:
            log.exception("monitoring_not_closed")

    async def _close(self) -> None:
        self.supervisor.stopping()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_ALERT_SECONDS):
                await self._tell_if_the_engine_failed()
        if self.server is not None:
            await self.server.close()

    async def check(self) -> None:
        """Send the alerts for what is wrong now. What fails is logged."""
        try:
            await self._check()
        except Exception:
            log.exception("alerts_not_checked")

    async def _check(self) -> None:
        await self.alert_places.check()
        await self._tell_if_the_engine_failed()
        await self._tell_if_a_device_failed()
        if not self._services.disk_space.has_room:
            await self.alerts.send(
                "disk_low",
                "The disk with my data is almost full, and I take no new requests until there is room: delete "
                "something, or lower DATA_MAX_GB.",
            )
        if failed := self._services.housekeeping.failed:
            await self.alerts.send(
                "housekeeping",
                f"The daily clean-up failed in part ({', '.join(sorted(failed))}). It is tried again tomorrow; the log "
                "says why (housekeeping_failed).",
            )
        if undelivered := await self._services.jobs.undelivered.needs_operator():
            await self.alerts.send(
                "undelivered",
                f"{counted(undelivered, 'result')} could not be posted yet. I go on trying for 24 hours; the log "
                "says why (job_undelivered).",
            )

    async def _tell_if_the_engine_failed(self) -> None:
        engine = self._services.engine
        if engine.state != "failed":
            return
        try:
            await engine.ready()
            loss = await engine.lost()
        except DeviceLost as error:
            loss = error
        except EngineError as error:
            await self.alerts.send("model_not_loaded", f"I can make no pictures, so I stop: {error}")
            return
        await self.alerts.send("device_lost", f"The device was lost, and I have to be restarted: {loss}")

    async def _tell_if_a_device_failed(self) -> None:
        """Tell of devices that are used no more while others go on."""
        stats = self._services.engine.stats()
        failed = [device for device in stats.devices if device.state == "failed"]
        if failed and stats.state != "failed":
            reasons = "; ".join(f"{device.name}: {device.failure}" for device in failed)
            await self.alerts.send(
                "device_failed",
                f"{counted(len(failed), 'device')} of {len(stats.devices)} cannot be used, and the others go on "
                f"without ({reasons[:_REASONS_LIMIT]}). A restart tries them again.",
            )

    async def _tell_watchdog(self) -> None:
        problems = {name: problem for name, problem in (await self.health.problems()).items() if problem}
        if not problems:
            self.supervisor.alive()
        else:
            log.warning("not_healthy", **problems)
        self.supervisor.status("; ".join(f"{name}: {problem}" for name, problem in problems.items()) or "healthy")

    def _repeat(self, name: str, seconds: float, function: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            while True:
                try:
                    await function()
                except Exception:
                    log.exception("monitoring_failed", task=name)
                await asyncio.sleep(seconds)

        self._tasks.append(asyncio.create_task(run(), name=name))


async def _measure_lag() -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _TIMER_SECONDS
        await asyncio.sleep(_TIMER_SECONDS)
        metrics.EVENT_LOOP_LAG.observe(max(0.0, loop.time() - due))


def observe_unit(record: UnitRecord) -> None:
    """Count one unit of the engine."""
    unit, where = record.unit.value, (record.device, record.model)
    metrics.DEVICE_SECONDS.labels(unit, *where).inc(record.seconds)
    if record.out_of_memory:
        metrics.OUT_OF_MEMORY.labels(unit, *where).inc()
        return
    metrics.UNIT_SECONDS.labels(unit, *where).observe(record.seconds)
    if record.unit is Unit.DENOISE:
        metrics.BATCH_REQUESTS.labels(*where).observe(record.requests)
    if record.fill is not None:
        metrics.BATCH_FILL.labels(*where).observe(record.fill)


def discord_trace() -> aiohttp.TraceConfig:
    """Return what counts discord.py's requests when it is given as ``http_trace``."""
    trace = aiohttp.TraceConfig()

    async def begin(_: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceRequestStartParams) -> None:
        context.began = time.monotonic()

    async def end(_: aiohttp.ClientSession, context: SimpleNamespace, sent: aiohttp.TraceRequestEndParams) -> None:
        metrics.DISCORD_REQUESTS.labels(sent.response.status).inc()
        metrics.DISCORD_SECONDS.observe(time.monotonic() - context.began)

    async def fail(_: aiohttp.ClientSession, __: SimpleNamespace, ___: aiohttp.TraceRequestExceptionParams) -> None:
        metrics.DISCORD_REQUESTS.labels("no answer").inc()

    trace.on_request_start.append(begin)
    trace.on_request_end.append(end)
    trace.on_request_exception.append(fail)
    return trace
