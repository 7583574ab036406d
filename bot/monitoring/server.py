"""The HTTP server of ``METRICS_ADDR``: ``/metrics`` for Prometheus, ``/healthz`` for supervisors."""

from __future__ import annotations

import asyncio
import ipaddress
import sqlite3

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bot import metrics
from bot.errors import Restarting, StartupError
from bot.monitoring.gauges import Gauges
from bot.monitoring.health import HealthChecks

log = structlog.get_logger(__name__)


class MonitoringServer:
    """Serves until it is closed."""

    def __init__(self, address: tuple[str, int], gauges: Gauges, health: HealthChecks) -> None:
        self._host, self._port = address
        self._gauges = gauges
        self._health = health
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port in use, also if a free one was asked for with 0."""
        assert self._runner is not None, "not started"
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Listen. Raises :class:`StartupError` if the address cannot be used."""
        app = web.Application()
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/healthz", self._show_health)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self.close()
            raise StartupError(
                f"METRICS_ADDR={self._host}:{self._port} cannot be used ({error.strerror or error}): set a free port, "
                "or leave it empty."
            ) from error
        if not _is_loopback(self._host):
            log.warning("metrics_open_to_others", host=self._host, port=self.port)

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _show_metrics(self, _: web.Request) -> web.Response:
        try:
            await self._gauges.update()
        except (
            sqlite3.Error,
            OSError,
            Restarting,
        ) as error:  # counters are shown all the same: they tell what went wrong
            log.warning("gauges_not_updated", reason=type(error).__name__)
        body = await asyncio.to_thread(generate_latest, metrics.REGISTRY)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _show_health(self, _: web.Request) -> web.Response:
        problems = await self._health.problems()
        healthy = not any(problems.values())
        checks = {name: problem or "ok" for name, problem in problems.items()}
        answer = {"healthy": healthy, "checks": checks, "devices": self._health.devices()}
        return web.json_response(answer, status=200 if healthy else 503)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
