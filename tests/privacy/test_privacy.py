"""``/privacy export`` on a simulated Discord: all data of the member, none of others, in ZIPs within the limit."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from typing import Any

import pytest

from bot.playground.world import World
from bot.views import privacy as views
from tests.helpers.pictures import CHANGED, PROMPT, drawn, photo
from tests.helpers.privacy import another_member


async def exported(world: World, **options: Any) -> tuple[list[bytes], str]:
    """Return the ZIPs that are sent, and the last message."""
    before = {message.id for message in world.channel.history(viewer=world.member)}
    answered = await world.member.slash(world.channel, "privacy export", **options)
    assert answered.ephemeral
    new = [message for message in world.channel.history(viewer=world.member) if message.id not in before]
    parts = [await file.read() for message in new for file in message.attachments]
    return parts, new[-1].content


def contents(parts: list[bytes]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in parts:
        with zipfile.ZipFile(BytesIO(part)) as opened:
            assert opened.testzip() is None
            found |= {name: opened.read(name) for name in opened.namelist()}
    return found


async def test_an_export_has_everything_of_the_member_and_nothing_of_others(world: World) -> None:
    noa = another_member(world)
    first = await drawn(world, steps=1)
    picture = await first.attachments[0].read()
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("photo.png", photo()), private=True, steps=2)
    await world.member.slash(world.channel, "settings", size="large")
    await noa.slash(world.channel, "imagine", prompt="a secret of somebody else", steps=1)
    parts, said = await exported(world)
    assert said == "This is everything I store about you, in 1 part."
    found = contents(parts)
    jobs = json.loads(found["jobs.json"])
    assert [job["spec"]["prompt"] for job in jobs] == [PROMPT, CHANGED]
    assert jobs[0]["credits"] == 0.13
    assert jobs[0]["result_message_id"] == str(first.id)
    assert found[f"images/{jobs[0]['images'][0]['file']}"] == picture
    assert sorted(name.partition("/")[0] for name in found) == [
        "about-you.json",
        "images",
        "images",
        "jobs.json",
        "sources",
    ]
    (about,) = json.loads(found["about-you.json"])
    assert about["settings"] == [{"name": "size", "value": "large"}]
    assert sum(day["credits"] for day in about["usage_by_day"]) == sum(job["credits"] for job in jobs)
    assert all(b"somebody else" not in data and b"interaction_token" not in data for data in found.values())
    assert not any(message.attachments for message in world.channel.history(viewer=noa)[2:]), "others see none of it"


async def test_an_export_comes_in_parts_within_the_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in (0, 9):
        await world.member.slash(world.channel, "imagine", prompt=PROMPT, seed=seed, count=3, steps=1)
    sizes = [path.stat().st_size for path in world.env.bot.settings.image_dir.iterdir()]
    limit = max(sizes) * 2 + 4000
    monkeypatch.setattr(views, "REQUEST_LIMIT", limit)
    parts, said = await exported(world)
    assert len(parts) > 2
    assert max(map(len, parts)) <= limit
    assert said == f"This is everything I store about you, in {len(parts)} parts."
    images = [name for name in contents(parts) if name.startswith("images/")]
    assert len(images) == 6


async def test_one_export_every_ten_minutes(world: World) -> None:
    await exported(world)
    answered = await world.member.slash(world.channel, "privacy export")
    assert answered.response.content == "One export every 10 minutes: ask again in 10 min."
    noa = another_member(world)
    assert (await noa.slash(world.channel, "privacy export")).followups, "others may"
    assert len(world.env.errors) == 1


async def test_after_the_answer_s_time_parts_come_by_direct_message(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await drawn(world, steps=1)
    monkeypatch.setattr(views, "_ANSWER_SECONDS", 0.0)
    parts, _ = await exported(world)
    assert parts == []
    messages = world.member.user.dm_channel.history()
    found = contents([await file.read() for message in messages for file in message.attachments])
    assert json.loads(found["jobs.json"])[0]["spec"]["prompt"] == PROMPT
    assert messages[-1].content == "This is everything I store about you, in 1 part."


async def test_closed_direct_messages_are_told_with_the_way_on(world: World) -> None:
    await drawn(world, steps=1)
    world.env.inject_error("POST", "/webhooks/*", status=404, code=10015, times=1)
    world.env.inject_error("POST", "/channels/*/messages", status=403, code=50007, times=None)
    _, said = await exported(world)
    assert "I could send 0 parts only" in said
    assert "`/privacy export from_job:1`" in said


async def test_what_broke_off_may_be_gone_on_with_at_once(world: World) -> None:
    await drawn(world, steps=1)
    world.env.inject_error("POST", "/webhooks/*", status=404, code=10015, times=1)
    world.env.inject_error("POST", "/channels/*/messages", status=403, code=50007, times=2)
    _, said = await exported(world)
    assert "I could send 0 parts only" in said
    answered = await world.member.slash(world.channel, "privacy export", from_job=1)
    assert answered.response.content.startswith("One moment: ask again in ")
    await world.env.advance_time(16)
    parts, said = await exported(world, from_job=1)
    assert len(parts) == 1
    assert said == "This is everything I store about you, in 1 part."
    assert len(world.env.errors) == 1
