"""How an export reaches its member, and the buttons of ``/privacy``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.playground.world import World
from bot.views import privacy as views
from bot.views.privacy import delete_view
from tests.helpers.dynamic_items import matching
from tests.helpers.pictures import PROMPT, drawn
from tests.helpers.privacy import exported, zip_contents


async def test_an_export_comes_in_parts_within_the_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in (0, 9):
        await world.member.slash(world.channel, "imagine", prompt=PROMPT, seed=seed, count=3, steps=1)
    sizes = [path.stat().st_size for path in world.env.bot.settings.image_dir.glob("*.png")]
    limit = max(sizes) * 2 + 4000
    monkeypatch.setattr(views, "REQUEST_LIMIT", limit)
    parts, said = await exported(world)
    assert len(parts) > 2
    assert max(map(len, parts)) <= limit
    assert said == f"This is everything I store about you, in {len(parts)} parts."
    images = [name for name in zip_contents(parts) if name.startswith("images/")]
    assert len(images) == 6


async def test_after_the_answer_s_time_parts_come_by_direct_message(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await drawn(world, steps=1)
    monkeypatch.setattr(views, "_ANSWER_SECONDS", 0.0)
    parts, _ = await exported(world)
    assert parts == []
    messages = world.member.user.dm_channel.history()
    found = zip_contents([await file.read() for message in messages for file in message.attachments])
    assert json.loads(found["jobs.json"])[0]["spec"]["prompt"] == PROMPT
    assert messages[-1].content == "This is everything I store about you, in 1 part."


async def test_closed_direct_messages_are_told_with_the_way_on(world: World) -> None:
    await drawn(world, steps=1)
    world.env.inject_error("POST", "/webhooks/*", status=404, code=10015, times=1)
    world.env.inject_error("POST", "/channels/*/messages", status=403, code=50007, times=None)
    _, said = await exported(world)
    assert "I could send 0 parts only" in said
    assert "`/privacy export from_job:1`" in said


def test_each_button_is_one_template_s_alone() -> None:
    items: list[Any] = delete_view().children
    for item in items:
        assert matching(item.custom_id) == [type(item)]
