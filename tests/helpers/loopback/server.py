"""The HTTP server of the loopback Discord: it reads requests, checks them, and puts faults before the answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import discord
import pytest
from aiohttp import web
from yarl import URL

from tests.helpers.loopback.calls import Call, json_response, read_call
from tests.helpers.loopback.errors import ApiError
from tests.helpers.loopback.faults import Fault, Faults
from tests.helpers.loopback.gateway import Gateway
from tests.helpers.loopback.members import Members
from tests.helpers.loopback.openapi import problem_of
from tests.helpers.loopback.places import guild_payload
from tests.helpers.loopback.rest import Rest
from tests.helpers.loopback.state import MIB, State

TOKEN = "loopback.token.of-no-use"
_OPEN_PATHS = ("webhooks", "interactions")
"""Paths whose token stands in the path."""


class Loopback(Members):
    """The server. With ``gateway_close``, it answers each IDENTIFY by closing with that code.
    It recommends ``shards`` connections to the gateway. ``checking`` is False where many requests are made at once: to
    look each up in Discord's document takes longer than to answer it.

    ``other_guilds`` are servers beside the one where things happen, and ``problems`` are the requests that Discord's
    document does not allow; :func:`open_loopback` fails if there are any.
    """

    def __init__(
        self, *, gateway_close: int | None = None, seed: int = 0, shards: int = 1, checking: bool = True
    ) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.problems: list[str] = []
        self.other_guilds: list[dict[str, Any]] = []
        self.faults = Faults(seed)
        self.premium_tier = 0
        self.state = State(self._emit)
        self.state.shards = shards
        self.gateway = Gateway(TOKEN, self._all_guilds, gateway_close)
        self._checking = checking
        self._rest = Rest(self.state)
        self._runner: web.AppRunner | None = None
        self.base = ""

    @property
    def ready(self) -> bool:
        """True while a bot is connected and was sent READY."""
        return self.gateway.connected

    async def start(self, port: int = 0) -> None:
        """Serve on this port, or on a free one."""
        self.loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=64 * MIB)
        app.router.add_get("/gateway", self.gateway.serve)
        app.router.add_get("/cdn/attachments/{channel}/{file}/{name}", self._download)
        app.router.add_get("/portal", _portal)
        app.router.add_route("*", "/api/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.base = self.state.base = f"127.0.0.1:{self._runner.addresses[0][1]}"
        self.gateway.url = f"ws://{self.base}/gateway"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def redirect(self, patch: pytest.MonkeyPatch) -> None:
        """Make discord.py in this process connect to this server."""
        patch.setattr(discord.http.Route, "BASE", f"http://{self.base}/api")
        patch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", URL(f"ws://{self.base}/gateway"))

    def fail(self, method: str, path: str, status: int, times: int | None = 1, **body: Any) -> None:
        """Answer the next matching requests with a status. A 429 has the header that makes discord.py wait."""
        headers = {"Via": "1.1 loopback", "X-RateLimit-Scope": "shared"} if status == 429 else {}
        self.faults.add(Fault(method, path, times, status=status, body=body, headers=headers))

    def made(self, method: str, path: str) -> list[Call]:
        """Return the calls so far whose whole path matches the pattern."""
        return [call for call in self.calls if call.method == method and re.fullmatch(path, call.path)]

    def _emit(self, event: str, data: dict[str, Any]) -> None:
        self.gateway.emit(event, data)

    def _all_guilds(self) -> list[dict[str, Any]]:
        return [guild_payload(self.state.channels, self.premium_tier), *self.other_guilds]

    async def _download(self, request: web.Request) -> web.StreamResponse:
        call = Call("GET", request.path.removeprefix("/"), None)
        fault = self.faults.take(call)
        if fault is not None:
            return await self._stumble(fault, request, call)
        found = self.state.files.get(request.match_info["file"])
        if found is None:
            return web.Response(status=404)
        return web.Response(body=found.data, content_type=found.content_type or "application/octet-stream")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        if request.headers.get("Authorization") != f"Bot {TOKEN}" and not path.startswith(_OPEN_PATHS):
            return json_response({"message": "401: Unauthorized", "code": 0}, 401)
        call = await read_call(request, path)
        self.calls.append(call)
        problem = problem_of(call) if self._checking else None
        if problem is not None:
            self.problems.append(problem)
            return json_response(ApiError(50035, problem).body(), 400)
        self.faults.notify(call, "before")
        fault = self.faults.take(call)
        if fault is None:
            return self._respond(call)
        return await self._stumble(fault, request, call)

    async def _stumble(self, fault: Fault, request: web.Request, call: Call) -> web.StreamResponse:
        """Answer a request with a fault."""
        await asyncio.sleep(fault.seconds)
        if fault.status is not None:
            if isinstance(fault.body, bytes):
                return web.Response(body=fault.body, status=fault.status, headers=fault.headers)
            return json_response(fault.body or {}, fault.status, fault.headers)
        if fault.drop == "before":
            return _break_off(request)
        response = self._respond(call)
        if fault.drop == "after":
            return _break_off(request)
        if isinstance(fault.body, bytes):
            return web.Response(body=fault.body, headers={"Content-Type": "application/json"} | fault.headers)
        return response

    def _respond(self, call: Call) -> web.Response:
        try:
            status, body = self._rest.respond(call)
        except ApiError as error:
            status, body = error.status, error.body()
        except LookupError as error:
            self.problems.append(f"the loopback does not know {error}")
            status, body = 404, {"message": "404: Not Found", "code": 0}
        self.faults.notify(call, "after")
        return web.Response(status=status) if body is None else json_response(body, status)


def _break_off(request: web.Request) -> web.StreamResponse:
    """Break the connection instead of answering."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # it reaches nobody


async def _portal(request: web.Request) -> web.Response:
    """Serve what a captive portal shows instead of Discord."""
    del request
    return web.Response(text="<html>Please log in to the network.</html>", content_type="text/html")


@asynccontextmanager
async def open_loopback(patch: pytest.MonkeyPatch, **options: Any) -> AsyncIterator[Loopback]:
    """Run the server, with discord.py connecting to it, until the end of the block.

    The block fails if a request was made that Discord's document does not allow.
    """
    loopback = Loopback(**options)
    await loopback.start()
    loopback.redirect(patch)
    try:
        yield loopback
    finally:
        await asyncio.wait_for(loopback.stop(), 10)
    if loopback.problems:
        raise AssertionError("; ".join(loopback.problems))
