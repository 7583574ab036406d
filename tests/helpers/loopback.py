"""A small Discord on this machine, HTTP and gateway, for discord.py's own client.

It records and answers what the bot asks for, and fails on request (:meth:`Loopback.fail`).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import discord
import pytest
from aiohttp import WSMsgType, web
from yarl import URL

TOKEN = "loopback.token.of-no-use"
APPLICATION, GUILD, CHANNEL, MEMBER = "1000", "2000", "3000", "4000"
BOT = {"id": APPLICATION, "username": "zimage", "discriminator": "0", "avatar": None, "bot": True}
USER = {"id": MEMBER, "username": "ada", "discriminator": "0", "avatar": None, "global_name": "Ada"}
_PERMISSIONS = str(discord.Permissions.all().value)


@dataclass
class Call:
    """One request of the bot: its JSON (in a multipart body, the part ``payload_json``) and its files."""

    method: str
    path: str
    body: Any
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Fault:
    """How the next matching call is answered instead."""

    method: str
    path: str
    status: int
    body: dict[str, Any]


class Loopback:
    """The server. With ``gateway_close``, it closes each connection with that code instead of sending READY."""

    def __init__(self, *, gateway_close: int | None = None) -> None:
        self.calls: list[Call] = []
        self._faults: list[Fault] = []
        self._gateway_close = gateway_close
        self._sockets: list[web.WebSocketResponse] = []
        self._ids = iter(range(10_000, 10**9))
        self._runner: web.AppRunner | None = None
        self.base = ""

    @property
    def ready(self) -> bool:
        """True once a bot is connected and was sent READY."""
        return bool(self._sockets)

    async def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/gateway", self._gateway)
        app.router.add_route("*", "/api/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base = f"127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def redirect(self, patch: pytest.MonkeyPatch) -> None:
        """Make discord.py connect to this server."""
        patch.setattr(discord.http.Route, "BASE", f"http://{self.base}/api")
        patch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", URL(f"ws://{self.base}/gateway"))

    def fail(self, method: str, path: str, status: int, **body: Any) -> None:
        self._faults.append(Fault(method, path, status, body))

    def made(self, method: str, path: str) -> list[Call]:
        """Return the calls so far whose whole path matches the pattern."""
        return [call for call in self.calls if call.method == method and re.fullmatch(path, call.path)]

    async def command(self, name: str, *, installed_in: str | None = None, **options: str | int) -> str:
        """Have a member type a slash command. Returns the interaction's token.

        ``installed_in`` is a server that the bot is not in; the member has installed it for themselves.
        """
        server: dict[str, Any] = {"guild_id": GUILD, "authorizing_integration_owners": {"0": GUILD}}
        if installed_in is not None:
            server = {"guild_id": installed_in, "authorizing_integration_owners": {"1": MEMBER}}
            server["guild"] = {"id": installed_in, "locale": "en-US", "features": []}
        number = str(next(self._ids))
        kinds: dict[type, int] = {str: 3, int: 4}
        given = [{"name": key, "type": kinds[type(value)], "value": value} for key, value in options.items()]
        await self._dispatch(
            "INTERACTION_CREATE",
            {
                "id": number,
                "application_id": APPLICATION,
                "type": 2,
                "token": f"token-{number}",
                "version": 1,
                "data": {"id": "1", "name": name, "type": 1, "options": given},
                "channel_id": CHANNEL,
                "channel": {"id": CHANNEL, "type": 0, "name": "pictures", "position": 0, "nsfw": False},
                "member": {
                    "user": USER,
                    "roles": [],
                    "joined_at": "2026-01-01T00:00:00+00:00",
                    "deaf": False,
                    "mute": False,
                    "flags": 0,
                    "permissions": _PERMISSIONS,
                },
                "locale": "en-US",
                "app_permissions": _PERMISSIONS,
                "attachment_size_limit": 10 * 2**20,
                "entitlements": [],
                "context": 0,
            }
            | server,
        )
        return f"token-{number}"

    async def _dispatch(self, event: str, data: dict[str, Any]) -> None:
        for socket in self._sockets:
            await socket.send_json({"op": 0, "s": next(self._ids), "t": event, "d": data})

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if self._gateway_close is not None:
            await socket.close(code=self._gateway_close)
            return socket
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": 41_250}})
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            sent = json.loads(message.data)
            if sent["op"] == 1:
                await socket.send_json({"op": 11})
            elif sent["op"] == 2:
                self._sockets.append(socket)
                await self._greet()
        return socket

    async def _greet(self) -> None:
        application = {"id": APPLICATION, "flags": 0}
        await self._dispatch(
            "READY",
            {"v": 10, "user": BOT, "guilds": [{"id": GUILD, "unavailable": True}], "session_id": "1"}
            | {"application": application, "resume_gateway_url": f"ws://{self.base}/gateway"},
        )
        role = {"id": GUILD, "name": "@everyone", "permissions": _PERMISSIONS, "position": 0, "color": 0}
        role |= {"hoist": False, "managed": False, "mentionable": False, "flags": 0, "colors": {"primary_color": 0}}
        channel = {"id": CHANNEL, "type": 0, "name": "pictures", "position": 0, "permission_overwrites": []}
        me = {"user": BOT, "roles": [], "joined_at": "2026-01-01T00:00:00+00:00", "deaf": False, "mute": False}
        me["flags"] = 0
        await self._dispatch(
            "GUILD_CREATE",
            {"id": GUILD, "name": "Loopback", "owner_id": MEMBER, "roles": [role], "channels": [channel]}
            | {"members": [me], "member_count": 2, "emojis": [], "stickers": [], "threads": [], "premium_tier": 0},
        )

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        if request.headers.get("Authorization") != f"Bot {TOKEN}" and not path.startswith(("webhooks", "interactions")):
            return _json({"message": "401: Unauthorized", "code": 0}, 401)
        call = await _read(request, path)
        self.calls.append(call)
        for fault in self._faults:
            if fault.method == call.method and re.fullmatch(fault.path, path):
                self._faults.remove(fault)
                return _json(fault.body, fault.status)
        return self._respond(call)

    def _respond(self, call: Call) -> web.Response:
        match call.method, call.path.split("/"):
            case "GET", ["users", "@me"]:
                return _json(BOT)
            case "GET", ["oauth2", "applications", "@me"]:
                return _json(
                    {"id": APPLICATION, "name": "zimage", "description": "", "flags": 0, "icon": None, "owner": USER}
                    | {"bot_public": True, "bot_require_code_grant": False, "verify_key": ""}
                )
            case "PUT", ["applications", _, "commands"]:
                known = {"id": "1", "application_id": APPLICATION, "version": "1"}
                return _json([{"description": ""} | command | known for command in call.body])
            case "POST", ["interactions", number, _, "callback"]:
                message = self._message(call)
                answer = {"interaction": {"id": number, "type": 2, "response_message_id": message["id"]}}
                return _json(answer | {"resource": {"type": call.body["type"], "message": message}})
            case "DELETE", _:
                return web.Response(status=204)
            case _:
                return _json(self._message(call))

    def _message(self, call: Call) -> dict[str, Any]:
        data = call.body or {}
        data = data.get("data", data)
        files = [
            {"id": str(next(self._ids)), "filename": name, "size": len(content), "url": "", "proxy_url": ""}
            for name, content in call.files.items()
        ]
        return {
            "id": str(next(self._ids)), "channel_id": CHANNEL, "author": BOT, "content": data.get("content", ""),
            "timestamp": "2026-01-01T00:00:00+00:00", "edited_timestamp": None, "tts": False, "mentions": [],
            "mention_everyone": False, "mention_roles": [], "attachments": files, "embeds": [], "pinned": False,
            "type": 0, "flags": 0, "components": [],
        }  # fmt: skip


async def _read(request: web.Request, path: str) -> Call:
    if not request.content_type.startswith("multipart/"):
        text = await request.text()
        return Call(request.method, path, json.loads(text) if text else None)
    body, files = None, {}
    async for part in await request.multipart():
        content = bytes(await part.read())
        if part.name == "payload_json":
            body = json.loads(content)
        else:
            files[str(part.filename)] = content
    return Call(request.method, path, body, files)


def _json(body: Any, status: int = 200) -> web.Response:
    # With a charset behind it, discord.py would not read this as JSON.
    response = web.Response(body=json.dumps(body).encode(), status=status)
    response.headers["Content-Type"] = "application/json"
    if status == 429:
        response.headers |= {"Via": "1.1 loopback", "X-RateLimit-Scope": "shared"}
    return response


@asynccontextmanager
async def open_loopback(patch: pytest.MonkeyPatch, **options: Any) -> AsyncIterator[Loopback]:
    """Run the server, with discord.py connecting to it, until the end of the block."""
    loopback = Loopback(**options)
    await loopback.start()
    loopback.redirect(patch)
    try:
        yield loopback
    finally:
        await asyncio.wait_for(loopback.stop(), 10)
