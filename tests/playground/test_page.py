"""The page of the playground: who may open it, and what it shows."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import discord
import pytest

from bot.app import create_client
from bot.client import ZImageBot
from bot.playground import page_server
from bot.playground.faulty_device import DeviceFaults
from bot.playground.session import Playground, open_playground
from bot.settings import Settings
from tests.helpers.engines import in_thread, load_worker
from tests.helpers.pages import Page
from tests.helpers.pictures import photo
from tests.helpers.waiting import until
from tests.helpers.worlds import new_faulty_client
from zimage_engine.config import EngineConfig
from zimage_engine.device.worker import Worker

PROMPT = "a red circle on a blue background"


@pytest.mark.parametrize(
    "path", ["/", "/app.js", "/playground.js", "/playground/status", "/api/state", "/?key=wrong", "/?key=%e9"]
)
async def test_nothing_is_served_without_the_key(playground: Playground, path: str) -> None:
    origin = f"http://127.0.0.1:{playground.server.port}"
    async with aiohttp.ClientSession() as stranger, stranger.get(origin + path) as response:
        assert response.status == 403
        assert "Open the link that zimage-bot playground printed" in await response.text()


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
async def test_other_hosts_and_origins_are_refused(page: Page, headers: dict[str, str]) -> None:
    async with page.session.get(f"{page.origin}/playground/status", headers=headers) as response:
        assert response.status == 403


async def test_the_cookie_does_not_hold_the_key(page: Page) -> None:
    key = page.playground.preview.capability
    (cookie,) = page.session.cookie_jar
    assert key not in cookie.value
    async with page.session.get(f"{page.origin}/api/state", headers={"X-Simcord-Capability": cookie.value}) as response:
        assert response.status == 401
    async with aiohttp.ClientSession() as stranger, stranger.get(f"{page.origin}/?key={cookie.value}") as response:
        assert response.status == 403


async def test_a_picture_comes_with_progress_and_real_times(page: Page) -> None:
    receipt = await page.slash("imagine", prompt=PROMPT)
    assert receipt["acknowledgement"] == "acknowledged", receipt
    seen: set[str] = set()

    def finished(messages: list[dict[str, Any]]) -> bool:
        seen.update(message["content"] for message in messages)
        return any("seed" in message["content"] for message in messages)

    message = (await until_shown(page, finished))[-1]  # the one with the progress may still be there
    assert len(seen) >= 3, seen
    sent = datetime.fromisoformat(message["timestamp"])
    assert datetime.now(UTC) - sent < timedelta(minutes=1)
    (attachment,) = message["attachments"]
    async with page.session.get(
        f"{page.origin}/api/assets/{attachment['asset_id']}", headers=page._headers
    ) as response:
        assert response.content_type == "image/png"
        assert (await response.read()).startswith(b"\x89PNG")


async def test_a_message_may_have_files_and_answer_another(page: Page) -> None:
    await page.say("look", ("photo.png", photo()))
    (message,) = await page.messages()
    assert [attachment["filename"] for attachment in message["attachments"]] == ["photo.png"]
    await page.say("nice", reply_to=message["id"])
    assert [m["content"] for m in await page.messages()] == ["look", "nice"]


async def test_a_right_click_opens_the_form_of_a_command(page: Page) -> None:
    await page.say("look", ("photo.png", photo()))
    (message,) = await page.messages()
    offered = await page.request("GET", "/playground/menu?kind=message")
    assert "Edit image" in offered["commands"]
    body = {"kind": "message", "name": "Edit image", "target": message["id"]}
    await page.request("POST", "/playground/menu", json=body)
    assert (await page.shown())["modal"]["payload"]["title"]


@pytest.mark.parametrize("person", ["mira", "ada"])
async def test_right_click_commands_of_admins_are_offered_to_admins(page: Page, person: str) -> None:
    await page.open(person)
    offered = await page.request("GET", "/playground/menu?kind=user")
    assert bool(offered["commands"]) == (person == "ada")


async def test_two_pages_are_two_people(page: Page) -> None:
    async with Page(page.playground) as other:
        await other.open("ada")
        await page.slash("quota")
        await page.say("hello")
        assert [m["content"] for m in await other.messages()] == ["hello"]
        assert len(await page.messages()) == 2


async def test_the_page_s_own_files_are_served(page: Page) -> None:
    async with page.session.get(f"{page.origin}/") as response:
        html = await response.text()
    paths = re.findall(r'(?:href|src)="(/playground[^"]*)"', html)
    scripts = Path(page_server.__file__).with_name("static").rglob("*.js")
    paths += [f"/playground/{script.name}" for script in scripts if script.parent.name == "playground"]
    assert len(paths) > 10
    for path in paths:
        async with page.session.get(page.origin + path) as response:
            assert response.status == 200, path
            assert response.content_type in {"text/css", "application/javascript", "image/png"}


async def test_the_bot_has_a_profile_picture(page: Page) -> None:
    await page.slash("quota")
    (message,) = await page.messages()
    asset = message["author"]["avatar"]
    async with page.session.get(f"{page.origin}/api/assets/{asset}", headers=page._headers) as response:
        shown = await response.read()
    async with page.session.get(f"{page.origin}/playground/zimage-bot.png") as response:
        assert shown == await response.read()


async def test_a_page_may_show_another_person_and_place(page: Page) -> None:
    await page.say("hello")
    ids = {person.name: str(person.id) for person in page.playground.community.people}
    await page.request("POST", "/playground/seat", json={"person": ids["ada"], "place": "lounge"})
    shown = await page.shown()
    assert (shown["viewerId"], shown["channel"]["name"], shown["timeline"]) == (ids["ada"], "lounge", [])
    await page.say("hi")
    assert [m["content"] for m in await page.messages()] == ["hi"]
    await page.request("POST", "/playground/seat", json={"person": ids["ada"], "place": "pictures"})
    assert [m["content"] for m in await page.messages()] == ["hello"]


async def test_the_status_tells_what_is_newest_for_the_person(page: Page) -> None:
    async with Page(page.playground) as other:
        await other.open("ada", "lounge")
        assert set((await other.request("GET", "/playground/status"))["newest"].values()) == {"0"}
        await page.slash("quota")
        await page.say("hello")
        newest = (await other.request("GET", "/playground/status"))["newest"]
        (message,) = (m for m in await page.messages() if m["content"] == "hello")
        assert newest == {"pictures": message["id"], "lounge": "0", "direct": "0"}


async def test_direct_messages_are_the_person_s_own(page: Page) -> None:
    await page.open("mira", "direct")
    await page.say("hi")
    await until_shown(page, lambda messages: len(messages) == 2)
    await page.open("ada", "direct")
    assert await page.messages() == []


async def test_a_picture_survives_a_restart_of_the_bot(page: Page) -> None:
    before = page.playground.env.bot
    await page.slash("imagine", prompt=PROMPT)
    await until_shown(page, lambda messages: bool(messages) and "%" in messages[0]["content"])
    await page.request("POST", "/playground/restart")
    assert page.playground.env.bot is not before
    (message,) = await until_shown(page, lambda messages: "seed" in messages[0]["content"])
    assert message["attachments"]
    await page.slash("quota")
    assert len(await page.messages()) == 2


async def test_a_restart_is_ignored_while_the_model_is_loaded(settings: Settings) -> None:
    go_on = threading.Event()

    def load(config: EngineConfig) -> Worker:
        go_on.wait(30)
        return load_worker(config)

    def create(device: DeviceFaults) -> ZImageBot:
        return create_client(
            settings, start_engine=lambda config: device.start_engine(config, in_thread(lambda: load(config)))
        )

    async with open_playground(create) as opened:
        ready = asyncio.create_task(opened.ready())  # as the command line waits
        await until(lambda: opened.bot_state == "loading")
        before = opened.env.bot
        await opened.restart_bot()
        assert (opened.env.bot, opened.bot_state) == (before, "loading")
        go_on.set()
        await ready
        assert (opened.env.bot, opened.bot_state) == (before, "ready")


async def test_a_bot_that_is_being_closed_can_change_its_cards(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    bot, answers = page.playground.env.bot, []
    suspend = bot.services.suspend

    async def edit_a_card() -> None:
        try:
            await discord.Webhook.partial(17, "token", client=bot).edit_message(17, content="closing")
        except discord.NotFound as error:
            answers.append(error)
        await suspend()

    monkeypatch.setattr(bot.services, "suspend", edit_a_card)
    await page.request("POST", "/playground/restart")
    assert answers, "SimCord has been asked"


async def test_the_data_of_an_earlier_visit_may_be_used_again(settings: Settings) -> None:
    for _ in range(2):
        async with open_playground(partial(new_faulty_client, settings)) as opened, Page(opened) as page:
            await opened.ready()
            await page.open("mira")
            assert not (await page.slash("quota"))["rejected"]


async def test_faults_are_switched_on_the_page(page: Page) -> None:
    async def active() -> list[str]:
        status = await page.request("GET", "/playground/status")
        return [fault["id"] for fault in status["faults"] if fault["active"]]

    assert await active() == []
    await page.request("POST", "/playground/fault", json={"id": "permission_lost", "on": True})
    assert await active() == ["permission_lost"]
    await page.slash("imagine", prompt=PROMPT)
    (refusal,) = await page.messages()
    assert "Attach Files" in refusal["content"]
    await page.request("POST", "/playground/fault", json={"id": "permission_lost", "on": False})
    receipt = await page.slash("imagine", prompt=PROMPT)
    assert not receipt["rejected"], receipt
    await until_shown(page, lambda messages: "seed" in messages[-1]["content"])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/playground/menu", {"kind": "message", "name": "Edit image", "target": "17"}),
        ("POST", "/playground/menu", {"kind": "message", "name": "Nonsense", "target": "17"}),
        ("POST", "/playground/menu", {"kind": "user", "name": "Limits", "target": "17"}),
        ("POST", "/playground/menu", {"kind": "tree"}),
        ("POST", "/api/pages", {"person": "17", "place": "pictures"}),
        ("POST", "/api/pages", {}),
        ("POST", "/api/pages", []),
        ("POST", "/api/pages", {"person": None, "place": "pictures"}),
        ("POST", "/playground/seat", {"person": "17", "place": "pictures"}),
        ("POST", "/playground/fault", {"id": "nonsense", "on": "1"}),
    ],
)
async def test_what_no_page_sends_is_refused(page: Page, method: str, path: str, body: Any) -> None:
    with pytest.raises(aiohttp.ClientResponseError) as refused:
        await page.request(method, path, json=body)
    assert refused.value.status == 400


async def test_files_of_replaced_previews_are_forgotten(playground: Playground) -> None:
    backend = playground.env.backend
    channel = playground.community.places[0].channel
    (kept,) = backend.store_attachments(channel.id, [("kept.png", b"1")])
    backend.create_message(channel.id, playground.community.people[0].id, attachments=[kept])
    (unused,) = backend.store_attachments(channel.id, [("unused.png", b"2")])
    playground.env.drop_unused_attachments()
    assert backend.cdn.get(unused["url"]), "an interaction may still read it"
    old = unused["url"].replace(unused["id"], "17")
    backend.cdn._blobs[old] = b"3"
    playground.env.drop_unused_attachments()
    assert backend.cdn.get(old) is None
    assert backend.cdn.get(kept["url"])


async def test_the_simulated_discord_logs_the_newest_alone(page: Page) -> None:
    backend = page.playground.env.backend
    for log in (backend.http_requests, backend.transcript):
        log.extend([("HTTP", "GET /old", None)] * 2000)
    await page.slash("quota")
    assert len(backend.http_requests) == len(backend.transcript) == 1000
    assert backend.http_requests[-1].method == "POST"


async def until_shown(page: Page, condition: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """Wait until the page shows messages that meet a condition. Returns them."""
    async with asyncio.timeout(30):
        while not condition(messages := await page.messages()):
            await asyncio.sleep(0.05)
    return messages
