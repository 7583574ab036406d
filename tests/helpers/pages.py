"""The playground's page without a browser: the requests that its scripts send."""

from __future__ import annotations

import uuid
from typing import Any, Self

import aiohttp

from bot.playground.session import Playground


class Page:
    """What one browser tab does over HTTP."""

    def __init__(self, playground: Playground) -> None:
        self.playground = playground
        self.origin = f"http://127.0.0.1:{playground.server.port}"
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))  # of an address
        self._headers = {"X-Simcord-Capability": playground.preview.capability}
        self._sequence = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def open(self, person: str, place: str = "pictures") -> dict[str, Any]:
        """Open the link, and a page as a person in a place. Returns what the page shows."""
        async with self.session.get(self.playground.server.link.partition("#")[0]) as response:
            response.raise_for_status()
        ids = {found.name: str(found.id) for found in self.playground.community.people}
        body = {"person": ids[person], "place": place, "timezone": "Europe/Berlin"}
        shown = await self.request("POST", "/api/pages", json=body)
        self._headers["X-Simcord-Context"] = shown["context"]["id"]
        self._sequence = 0
        return shown

    async def request(self, method: str, path: str, **options: Any) -> Any:
        """Send a request with the page's headers. Returns the JSON answer; raises aiohttp's error if it is none."""
        async with self.session.request(method, self.origin + path, headers=self._headers, **options) as response:
            response.raise_for_status()
            return await response.json()

    async def shown(self) -> dict[str, Any]:
        """Return what the page shows now."""
        return dict(await self.request("GET", "/api/state"))

    async def messages(self) -> list[dict[str, Any]]:
        """Return the messages that the page shows, the oldest first."""
        state = await self.shown()
        return [state["messages"][identity] for identity in state["timeline"]]

    async def act(self, kind: str, **body: Any) -> dict[str, Any]:
        """Do what a click or a key does. Returns SimCord's receipt."""
        state = await self.shown()
        self._sequence += 1
        envelope = {
            "protocol_version": 3,
            "sequence": self._sequence,
            "request_id": uuid.uuid4().hex,
            "generation": state["context"]["generation"],
            "bot_generation": state["botGeneration"],
            "published_revision": state["publishedRevision"],
            "kind": kind,
        }
        return dict(await self.request("POST", "/api/action", json=envelope | body))

    async def say(self, content: str, *files: tuple[str, bytes], reply_to: str | None = None) -> None:
        """Post a message, with files."""
        form = aiohttp.FormData(
            {"content": content} | ({"reply_to": reply_to} if reply_to else {}), default_to_multipart=True
        )
        for name, data in files:
            form.add_field("file", data, filename=name)
        await self.request("POST", "/playground/message", data=form)

    async def slash(self, name: str, **options: Any) -> dict[str, Any]:
        """Use a slash command; options are text, as they are typed. Returns SimCord's receipt."""
        catalog = await self.request("GET", "/api/commands")
        entry = next(entry for entry in catalog["entries"] if entry["invocation"] == name)
        return await self.act(
            "run_command",
            command_id=entry["commandId"],
            path=name.split(),
            schema_fingerprint=entry["schemaFingerprint"],
            options=options,
        )
