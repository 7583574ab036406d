"""The bot's requests: their JSON and their files, and the answers to them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Call:
    """One request of the bot: its JSON (in a multipart body, the part ``payload_json``) and its files by name.

    ``parts`` are the files by the name of their part, such as ``files[0]``.
    """

    method: str
    path: str
    body: Any
    files: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The bytes of all its files."""
        return sum(len(data) for _, data in self.parts.values())


async def read_call(request: web.Request, path: str) -> Call:
    """Read a request to its end. Raises ValueError if its body is no JSON."""
    call = Call(request.method, path, None, query=dict(request.query))
    if not request.content_type.startswith("multipart/"):
        text = await request.text()
        call.body = json.loads(text) if text else None
        return call
    async for part in await request.multipart():
        content = bytes(await part.read())
        if part.name == "payload_json":
            call.body = json.loads(content)
        else:
            call.files[str(part.filename)] = content
            call.parts[str(part.name)] = (str(part.filename), content)
    return call


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return an answer that discord.py reads as JSON; with a charset behind the type it would not."""
    response = web.Response(body=json.dumps(body).encode(), status=status, headers=headers)
    response.headers["Content-Type"] = "application/json"
    return response
