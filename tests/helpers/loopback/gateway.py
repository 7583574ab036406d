"""The gateway: sessions, heartbeats, RESUME with replay, and its faults."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import discord
from aiohttp import WSMsgType, web

from tests.helpers.loopback.places import APPLICATION, BOT

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, RESUME, RECONNECT, INVALID_SESSION, HELLO, ACK = 0, 1, 2, 3, 6, 7, 9, 10, 11
_CONTENT = discord.Intents(message_content=True).value


@dataclass
class Session:
    """A session of one of a bot's shards: the events sent in it, and what is still to be sent on its socket.

    ``shard`` is the shard's number and the number of all shards; ``outgoing`` is None while it is not connected.
    """

    id: str
    intents: int
    shard: tuple[int, int] = (0, 1)
    events: list[dict[str, Any]] = field(default_factory=list)
    outgoing: asyncio.Queue[dict[str, Any]] | None = None
    socket: web.WebSocketResponse | None = None


class Gateway:
    """The server's end of the WebSocket.

    ``close_with``: each connection is closed with that code after IDENTIFY. ``acknowledging`` is set to False for a
    connection that looks alive and is not: neither heartbeats are acknowledged nor events sent. ``presences`` are what
    the bot said of itself, at the start of a session and later, and ``heartbeats`` the times of its heartbeats in
    ``time.monotonic()`` by session.
    """

    def __init__(self, token: str, guilds: Callable[[], list[dict[str, Any]]], close_with: int | None = None) -> None:
        self._token = token
        self._guilds = guilds
        self._close_with = close_with
        self.heartbeat_interval = 41.25
        self.acknowledging = True
        self.url = ""
        self.identified = 0
        self.resumed = 0
        self.presences: list[dict[str, Any]] = []
        self.heartbeats: dict[str, list[float]] = {}
        self._sessions: dict[str, Session] = {}
        self._held: list[tuple[str, dict[str, Any]]] | None = None

    @property
    def connected(self) -> bool:
        """True once all shards of a bot are connected and were sent READY."""
        connected = [session.shard for session in self._sessions.values() if session.outgoing is not None]
        return bool(connected) and len(set(connected)) == connected[0][1]

    def emit(self, event: str, data: dict[str, Any]) -> None:
        """Send an event to the shard that it is for; one that is not connected gets it when it resumes."""
        if self._held is not None:
            self._held.append((event, data))
            return
        for session in self._sessions.values():
            if _shard_of(data, session.shard[1]) == session.shard[0]:
                self._emit_in(session, event, data)

    def repeat(self, event: str) -> None:
        """Send the newest event of this name once more, as Discord does at times."""
        for session in self._sessions.values():
            for newest in [sent for sent in session.events if sent["t"] == event][-1:]:
                self._emit_in(session, event, newest["d"])

    def hold(self) -> None:
        """Keep events back until :meth:`release`."""
        self._held = []

    def release(self) -> None:
        """Send what :meth:`hold` kept back."""
        held, self._held = self._held or [], None
        for event, data in held:
            self.emit(event, data)

    def ask_to_reconnect(self) -> None:
        """Send op 7."""
        self._send({"op": RECONNECT, "d": None})

    def invalidate(self, *, resumable: bool) -> None:
        """Send op 9. A session that is not resumable is forgotten."""
        self._send({"op": INVALID_SESSION, "d": resumable})
        if not resumable:
            self._sessions.clear()

    async def disconnect(self, code: int = 4000, *, shard: int | None = None) -> None:
        """Close every connection, or that of one shard."""
        for session in list(self._sessions.values()):
            if session.socket is not None and shard in (None, session.shard[0]):
                await session.socket.close(code=code)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one connection to its end."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        writer = asyncio.create_task(self._write(socket, outgoing), name="loopback gateway")
        outgoing.put_nowait({"op": HELLO, "d": {"heartbeat_interval": round(self.heartbeat_interval * 1000)}})
        session: Session | None = None
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    sent = json.loads(message.data)
                    if self._close_with is not None and sent["op"] == IDENTIFY:
                        self.identified += 1
                        await socket.close(code=self._close_with)
                        break
                    if sent["op"] == HEARTBEAT and session is not None:
                        self.heartbeats.setdefault(session.id, []).append(time.monotonic())
                    session = self._receive(sent, socket, outgoing) or session
        finally:
            if session is not None and session.outgoing is outgoing:
                session.outgoing = session.socket = None
            writer.cancel()
            await asyncio.wait([writer])
        return socket

    def _receive(
        self, sent: dict[str, Any], socket: web.WebSocketResponse, outgoing: asyncio.Queue[dict[str, Any]]
    ) -> Session | None:
        """Handle what the bot sent. Returns the session that the connection serves from now on, if that changes."""
        data = sent.get("d")
        if sent["op"] == HEARTBEAT:
            if self.acknowledging:
                outgoing.put_nowait({"op": ACK})
            return None
        if sent["op"] == PRESENCE:
            self.presences.append(data)
        if sent["op"] not in (IDENTIFY, RESUME):
            return None
        assert data["token"] == self._token, "the gateway got another token"
        self.acknowledging = True
        if sent["op"] == IDENTIFY:
            return self._identify(data, socket, outgoing)
        session = self._sessions.get(data["session_id"])
        if session is None:
            outgoing.put_nowait({"op": INVALID_SESSION, "d": False})
            return None
        self.resumed += 1
        session.outgoing, session.socket = outgoing, socket
        for event in session.events:
            if event["s"] > data["seq"]:
                outgoing.put_nowait(event)
        self._emit_in(session, "RESUMED", {})
        return session

    def _identify(
        self, data: dict[str, Any], socket: web.WebSocketResponse, outgoing: asyncio.Queue[dict[str, Any]]
    ) -> Session:
        self.identified += 1
        if "presence" in data:  # a client without an activity sends none
            self.presences.append(data["presence"])
        shard = tuple(data.get("shard", (0, 1)))
        session = Session(f"session-{self.identified}", data["intents"], shard, outgoing=outgoing, socket=socket)
        # A shard that begins anew resumes nothing: what happened while it was away is lost to it.
        others = [other for other in self._sessions.values() if other.shard[1] == shard[1] and other.shard != shard]
        self._sessions = {each.id: each for each in [*others, session]}
        guilds = [guild for guild in self._guilds() if _shard_of({"guild_id": guild["id"]}, shard[1]) == shard[0]]
        unavailable = [{"id": guild["id"], "unavailable": True} for guild in guilds]
        ready = {"v": 10, "user": BOT, "guilds": unavailable, "session_id": session.id, "resume_gateway_url": self.url}
        ready["shard"] = list(shard)
        self._emit_in(session, "READY", ready | {"application": {"id": APPLICATION, "flags": 0}})
        for guild in guilds:
            self._emit_in(session, "GUILD_CREATE", guild)
        return session

    def _emit_in(self, session: Session, event: str, data: dict[str, Any]) -> None:
        if event == "MESSAGE_CREATE" and not _sees_content(session, data):
            data = data | {"content": "", "attachments": [], "components": []}
        payload = {"op": DISPATCH, "s": len(session.events) + 1, "t": event, "d": data}
        session.events.append(payload)
        if session.outgoing is not None and self.acknowledging:
            session.outgoing.put_nowait(payload)

    def _send(self, payload: dict[str, Any]) -> None:
        for session in self._sessions.values():
            if session.outgoing is not None:
                session.outgoing.put_nowait(payload)

    @staticmethod
    async def _write(socket: web.WebSocketResponse, outgoing: asyncio.Queue[dict[str, Any]]) -> None:
        try:
            while True:
                await socket.send_json(await outgoing.get())
        except ConnectionError:
            pass  # the bot is gone; the reader ends the connection


def _shard_of(data: dict[str, Any], shards: int) -> int:
    """Return the number of the shard that gets an event, as Discord computes it; the first one if it is of no server.

    https://discord.com/developers/docs/events/gateway#sharding
    """
    return (int(data.get("guild_id") or 0) >> 22) % shards


def _sees_content(session: Session, message: dict[str, Any]) -> bool:
    """Return whether the bot is told what a message says: always in its own, in direct ones, and where mentioned."""
    if session.intents & _CONTENT or message["author"]["id"] == APPLICATION or "guild_id" not in message:
        return True
    return any(user["id"] == APPLICATION for user in message["mentions"])
