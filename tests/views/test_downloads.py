"""Attachments as bytes: on a simulated Discord, and by discord.py's own HTTP client from a server on this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from io import BytesIO

import discord
import pytest
from aiohttp import web
from discord.ext import commands
from discord.http import Route
from PIL import Image

from bot.errors import Refusal
from bot.media.untrusted_images import ImageReader
from bot.playground.world import World, open_world
from bot.views import downloads
from bot.views.downloads import fetch_attachment

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Answer, int], Awaitable[discord.Attachment]]
LIMIT = 1000


def picture() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (5, 4), "red").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A simulated Discord; any client will do."""
    async with open_world(commands.AutoShardedBot("!", intents=discord.Intents.default())) as opened:
        yield opened


async def test_what_a_member_attached_arrives_whatever_its_name_says(world: World) -> None:
    message = await world.member.send(world.channel, "look", attachments=[("photo.jpg", picture())])
    data = await fetch_attachment(message.attachments[0], LIMIT)
    assert data == picture()
    decoded = await ImageReader().read(data, world.member.id)
    assert (decoded.image.width, decoded.image.height) == (5, 4)


async def test_what_is_gone_is_one_sentence(world: World) -> None:
    message = await world.member.send(world.channel, "look", attachments=[("a.png", picture())])
    world.env.backend.cdn._blobs.clear()
    with pytest.raises(Refusal, match="does not have that file any more"):
        await fetch_attachment(message.attachments[0], LIMIT)


@pytest.fixture
async def serve(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    """An attachment of the size that is said, which the real HTTP client fetches and this answers."""
    app = web.Application()
    answers: list[Answer] = []
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return await answers[-1](request)

    async def login(request: web.Request) -> web.Response:
        user = {"id": "1", "username": "zimage", "discriminator": "0", "avatar": None}
        application = {"name": "zimage", "description": "", "icon": None, "bot_public": True, "verify_key": "0" * 64}
        body = json.dumps(user | application | {"bot_require_code_grant": False, "flags": 0, "owner": user}).encode()
        return web.Response(body=body, content_type="application/json")

    app.router.add_get("/file", answer)
    app.router.add_get("/api/{path:.*}", login)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    monkeypatch.setattr(Route, "BASE", f"{base}/api")
    client = discord.Client(intents=discord.Intents(guilds=True))

    async def attachment(answer: Answer, size: int) -> discord.Attachment:
        answers.append(answer)
        url = f"{base}/file"
        described = {"id": "9", "size": size, "filename": "a.png", "url": url, "proxy_url": url}
        return discord.Attachment(data=described, state=client._connection)

    attachment.asked = asked  # type: ignore[attr-defined]
    try:
        await client.login("token.of.no-use")
        yield attachment
    finally:
        await client.close()
        await runner.cleanup()


def status(code: int) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=code, body=picture())

    return answer


async def broken_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "500"})
    await response.prepare(request)
    await response.write(b"\x89PNG")
    assert request.transport is not None
    request.transport.close()
    return response


async def never(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await asyncio.sleep(30)
    return response


async def more_than_it_said(request: web.Request) -> web.StreamResponse:
    return web.Response(body=bytes(LIMIT + 1))


async def test_the_real_client_fetches_it(serve: Serve) -> None:
    assert await fetch_attachment(await serve(status(200), len(picture())), LIMIT) == picture()


async def test_too_large_a_file_is_not_asked_for(serve: Serve) -> None:
    with pytest.raises(Refusal, match=r"has 30\.0 MB, and I open up to 25 MB"):
        await fetch_attachment(await serve(status(200), 30 * 2**20), 25 * 2**20)
    assert serve.asked == []  # type: ignore[attr-defined]


async def test_more_than_was_said_is_refused(serve: Serve) -> None:
    with pytest.raises(Refusal, match="please send a smaller one"):
        await fetch_attachment(await serve(more_than_it_said, 10), LIMIT)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (status(404), "send the picture again"),
        (status(403), "send the picture again"),
        (status(500), "try again in a minute"),
        (broken_off, "try again in a minute"),
    ],
)
async def test_what_does_not_arrive_is_one_sentence(serve: Serve, answer: Answer, says: str) -> None:
    with pytest.raises(Refusal, match=says):
        await fetch_attachment(await serve(answer, 500), LIMIT)


async def test_a_server_that_stops_sending_is_not_waited_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_SECONDS", 0.2)
    with pytest.raises(Refusal, match="try again in a minute"):
        await fetch_attachment(await serve(never, 500), LIMIT)


async def test_nobody_to_connect_to_is_one_sentence(serve: Serve) -> None:
    attachment = await serve(status(200), 10)
    attachment.url = "http://127.0.0.1:1/file"
    with pytest.raises(Refusal, match="try again in a minute"):
        await fetch_attachment(attachment, LIMIT)
