"""The page of the playground: who may open it, and what it shows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from bot.playground.session import Playground
from bot.playground.simcord_parts import check_simcord
from tests.helpers.pages import Page

PROMPT = "a red circle on a blue background"


def test_simcord_has_what_is_used() -> None:
    check_simcord()


@pytest.mark.parametrize("path", ["/", "/app.js", "/playground.js", "/playground/status", "/api/state", "/?key=wrong"])
async def test_nothing_is_served_without_the_key(playground: Playground, path: str) -> None:
    origin = f"http://127.0.0.1:{playground.server.port}"
    async with aiohttp.ClientSession() as stranger, stranger.get(origin + path) as response:
        assert response.status == 403
        assert "Open the link that zimage-bot playground printed" in await response.text()


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
async def test_other_hosts_and_origins_are_refused(page: Page, headers: dict[str, str]) -> None:
    async with page.session.get(f"{page.origin}/playground/status", headers=headers) as response:
        assert response.status == 403


async def test_a_picture_comes_with_progress_and_real_times(page: Page) -> None:
    receipt = await page.slash("imagine", prompt=PROMPT)
    assert receipt["acknowledgement"] == "acknowledged", receipt
    seen: list[str] = []
    message: dict[str, Any] = {}
    while "seed" not in message.get("content", ""):
        message = (await page.messages() or [{"content": ""}])[-1]
        if message["content"] not in seen:
            seen.append(message["content"])
        await asyncio.sleep(0.05)
    assert len(seen) >= 3, seen
    sent = datetime.fromisoformat(message["timestamp"])
    assert datetime.now(UTC) - sent < timedelta(minutes=1)
    (attachment,) = message["attachments"]
    async with page.session.get(
        f"{page.origin}/api/assets/{attachment['asset_id']}", headers=page._headers
    ) as response:
        assert response.content_type == "image/png"
        assert (await response.read()).startswith(b"\x89PNG")
