"""Attempts to get pictures for nothing: by taking along what is not posted yet, and deleting, waiting or hurrying.

``tests/store/test_paid_pictures.py`` tries all orders of that on the database alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bot.playground.world import World
from bot.privacy.privacy import _Packing
from bot.store import jobs
from bot.store.accounts import DAY
from bot.store.exports import ExportedJob
from bot.store.moderation import Block, write_block
from tests.helpers.job_worlds import all_ended
from tests.helpers.pictures import CHANGED, PROMPT, photo, rows
from tests.helpers.privacy import JUST_DATA, another_member, delete, exported, zip_contents
from tests.helpers.toy_worker import Toy
from tests.helpers.worlds import OpenWorld

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def world(world_of: OpenWorld, tmp_path: Path) -> AsyncIterator[World]:
    """A bot whose device takes no time, and which has not begun to post results."""
    async with world_of(lambda _: Toy(tmp_path)) as opened:
        opened.env.bot.jobs.deliveries._started = False
        yield opened


async def post_what_is_due(world: World) -> None:
    """Begin to post results, and try to post each that is rendered."""
    deliveries = world.env.bot.jobs.deliveries
    deliveries.start()
    for job in await rows(world, "SELECT id FROM jobs WHERE state = 'rendered'"):
        await deliveries.turn(job["id"])


async def settled(world: World) -> int:
    (row,) = await rows(world, "SELECT coalesce(sum(credits), 0) AS total FROM ledger WHERE entry = 'settled'")
    return int(row["total"])


def pictures_of(parts: list[bytes]) -> dict[str, bytes]:
    return {name: data for name, data in zip_contents(parts).items() if name.startswith("images/")}


async def ask_directly(world: World) -> None:
    """Send a picture and a prompt in direct messages."""
    user = world.member.user
    stored = world.env.backend.store_attachments(user.dm_channel.id, [("p.png", photo())])
    await user.send_dm(f"{CHANGED} --count 2 --strength 0.9", attachments=stored)


async def test_closing_direct_messages_exporting_and_deleting_is_paid_and_bound(world: World) -> None:
    await ask_directly(world)
    (job,) = await rows(world, "SELECT state, credits FROM jobs")
    assert job["state"] == "rendered"
    price, admission = job["credits"], world.env.bot.jobs.admission
    admission.terms = replace(admission.terms, credits_per_user=price + price // 2)
    directly = f"/channels/{world.member.user.dm_channel.id}/messages"
    world.env.inject_error("POST", directly, status=403, code=50007, times=None)
    await post_what_is_due(world)
    parts, _ = await exported(world)
    assert len(pictures_of(parts)) == 2
    again = await world.member.slash(world.channel, "privacy export")
    assert again.response.content.startswith("One export every 10 minutes")
    await delete(world, JUST_DATA)
    world.env.backend.faults.clear()
    assert await rows(world, "SELECT state, owner_id FROM jobs") == [{"state": "expired", "owner_id": 0}]
    assert await settled(world) == price
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT, count=2)
    assert "credits" in answered.response.content, "the operator's ceiling still holds"
    assert len(await rows(world, "SELECT id FROM jobs")) == 1
    assert len(world.env.errors) == 2


async def test_what_is_deleted_before_it_is_posted_is_paid(world: World) -> None:
    """The device generated it, whether or not its owner saw it."""
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    await delete(world, JUST_DATA)
    assert await settled(world) == (await rows(world, "SELECT credits FROM jobs"))[0]["credits"] > 0
    assert not list(world.env.bot.settings.image_dir.glob("*.png"))


async def test_an_exported_picture_that_expires_is_paid_and_its_sibling_refunded(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, count=2)
    first, second = await rows(world, "SELECT id, file, charge FROM images ORDER BY position")
    await world.member.slash(world.channel, "tree", source=first["id"])
    await world.env.bot.database.write(
        lambda c: c.execute("UPDATE jobs SET rendered_at = rendered_at - ?", (DAY,)).rowcount
    )
    await post_what_is_due(world)
    await all_ended(world)
    assert await settled(world) == first["charge"] > 0
    (card,) = world.channel.history()
    assert "I could not post your picture for 24 hours, so I deleted it. It cost " in card.content
    assert not any((world.env.bot.settings.image_dir / image["file"]).exists() for image in (first, second))
    answered = await world.member.slash(world.channel, "edit", prompt=CHANGED, source=second["id"])
    assert answered.response.content.startswith("This picture was deleted.")
    assert len(world.env.errors) == 1
    parts, _ = await exported(world)
    assert pictures_of(parts) == {}, "what was refunded is not handed out"


@pytest.mark.parametrize("command", ["edit", "tree", "privacy export"])
async def test_every_way_to_a_picture_that_is_not_posted_is_noted(world: World, command: str) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    (image,) = await rows(world, "SELECT id, seen_at FROM images")
    assert image["seen_at"] is None
    options = {"edit": {"prompt": CHANGED}, "tree": {}}.get(command)
    await world.member.slash(
        world.channel, command, **({**options, "source": image["id"]} if options is not None else {})
    )
    (image, *_) = await rows(world, "SELECT id, seen_at FROM images ORDER BY job_id")
    assert image["seen_at"] is not None


async def test_a_picture_that_is_not_posted_is_its_owner_s_alone(world: World) -> None:
    """Otherwise a second account gets it, and the first gets its credits back."""
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    (image,) = await rows(world, "SELECT id FROM images")
    noa = another_member(world)
    for command, options in (("tree", {}), ("edit", {"prompt": CHANGED})):
        answered = await noa.slash(world.channel, command, source=image["id"], **options)
        assert answered.response.content.startswith("There is no such picture here.")
    assert len(world.env.errors) == 2
    assert await rows(world, "SELECT seen_at FROM images") == [{"seen_at": None}]


async def test_a_picture_that_expires_during_an_export_is_not_in_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    read_page = _Packing._page

    async def expire_after(packing: _Packing, first: int) -> list[ExportedJob]:
        page = await read_page(packing, first)
        if page:
            expire = partial(jobs.ended, state="expired", error_code="undelivered", note="", now=5)
            await world.env.bot.database.write(partial(expire, job_id=page[0].id))
        return page

    monkeypatch.setattr(_Packing, "_page", expire_after)
    parts, _ = await exported(world)
    assert pictures_of(parts) == {}, "its file may still be there"
    assert len(json.loads(zip_contents(parts)["jobs.json"])) == 1
    assert await settled(world) == 0


async def test_a_member_who_is_blocked_before_the_picture_is_posted_pays_for_an_export(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    block = Block(world.member.id, None, "spam", 5)
    await world.env.bot.database.write(partial(write_block, guild_id=world.channel.guild.id, block=block))
    parts, _ = await exported(world)
    assert len(pictures_of(parts)) == 1
    expire = partial(jobs.ended, state="expired", error_code="undelivered", note="", now=5)
    ended = await world.env.bot.database.write(partial(expire, job_id=1))
    assert await settled(world) == ended.credits > 0


async def test_pictures_of_a_request_that_is_still_being_generated_are_not_handed_out(world: World) -> None:
    """It may still fail, which costs nothing."""
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    await world.env.bot.database.write(lambda c: c.execute("UPDATE jobs SET state = 'running'").rowcount)
    (image,) = await rows(world, "SELECT id FROM images")
    parts, _ = await exported(world)
    assert pictures_of(parts) == {}
    await world.member.slash(world.channel, "edit", prompt=CHANGED, source=image["id"])
    assert await rows(world, "SELECT seen_at FROM images") == [{"seen_at": None}]


def test_files_of_pictures_are_opened_in_few_places() -> None:
    """One of them writes. Whoever adds one that reads has to ask ``images.handed_out`` for the file."""
    opens = re.compile(r"(image_dir|folders\[folder\])\)? / ")
    found = {path.name for path in (ROOT / "bot").rglob("*.py") if opens.search(path.read_text(encoding="utf-8"))}
    assert found == {"delivery.py", "input_images.py", "privacy.py", "rendering.py"}


async def test_deleting_a_picture_before_it_is_posted_does_not_refund_it(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    (image,) = await rows(world, "SELECT id, charge FROM images")
    answered = await world.member.slash(world.channel, "tree", source=image["id"])
    await world.member.click(answered.response, label="Delete")
    asked = world.channel.history(viewer=world.member)[-1]
    await world.member.click(asked, label="Delete this picture")
    await post_what_is_due(world)
    await all_ended(world)
    assert await rows(world, "SELECT state, error_code FROM jobs") == [{"state": "expired", "error_code": "deleted"}]
    assert await settled(world) == image["charge"] > 0
