"""``/edit`` on a simulated Discord: what it takes, what it makes of it, and what it refuses."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial

import pytest
from PIL import Image

from bot.media.metadata import read_fields
from bot.playground.world import World
from tests.helpers.pictures import CHANGED, drawn, newest, photo, picture_of, png, rows, seen_in
from tests.helpers.waiting import until


@pytest.mark.pictures
async def test_edit_with_an_attachment(world: World) -> None:
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("photo.png", photo()), strength=0.9, seed=1)
    (message,) = world.channel.history()
    assert await seen_in(message) == ("circle", "green", "blue")
    assert "strength 0.9" in message.content
    (job,) = await rows(world, "SELECT kind, parent_image_id, spec, state FROM jobs")
    assert (job["kind"], job["parent_image_id"], job["state"]) == ("edit", None, "delivered")
    fields = read_fields(await message.attachments[0].read())
    assert fields is not None
    assert (fields["prompt"], fields["strength"]) == (CHANGED, 0.9)


async def test_an_edit_goes_on_although_its_card_cannot_be_noted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(connection: sqlite3.Connection, **changes: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("bot.store.open_cards.sent", full)
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("photo.png", photo()))
    (message,) = world.channel.history()
    assert message.attachments
    assert await rows(world, "SELECT state FROM jobs") == [{"state": "delivered"}]


async def test_an_edit_whose_stored_image_is_damaged_while_it_waits_fails_and_costs_nothing(world: World) -> None:
    service = world.env.bot.jobs
    service.pause(world.channel.guild.id)
    edit = partial(world.member.slash, world.channel, "edit", prompt=CHANGED, image=("photo.png", photo()))
    asked = asyncio.create_task(edit())
    await until(lambda: any(map(service.is_waiting, service.active)))
    (active,) = service.active.values()
    assert active.job.request.original is None, "no pixels wait with it"
    file = service.originals.folder / f"{active.job.request.spec.original}.png"
    file.write_bytes(file.read_bytes()[:-100])
    service.resume(world.channel.guild.id)
    await asked
    told = "The image of this edit is missing or damaged: please give it again. Nothing was charged."
    await until(lambda: told in world.channel.history()[0].content)
    assert len(world.channel.history()) == 1
    assert await rows(world, "SELECT state, error_code FROM jobs") == [
        {"state": "failed", "error_code": "original_unreadable"}
    ]
    ledger = await rows(world, "SELECT entry, credits FROM ledger ORDER BY id")
    assert ledger[1:] == [{"entry": "settled", "credits": 0}, {"entry": "given_back", "credits": 112}]
    await edit()
    assert newest(world).attachments, "the damaged file was written anew"


async def test_edit_without_anything_takes_the_newest_here_and_links_it(world: World) -> None:
    result = await drawn(world)
    await world.member.slash(world.channel, "edit", prompt=CHANGED)
    edited = newest(world)
    assert f"edit of {result.jump_url}" in edited.content
    first, second = await rows(
        world, "SELECT images.id, parent_image_id FROM images JOIN jobs ON jobs.id = job_id ORDER BY jobs.id"
    )
    assert second["parent_image_id"] == first["id"]


async def test_edit_where_there_is_nothing_says_how(world: World) -> None:
    answered = await world.member.slash(world.channel, "edit", prompt=CHANGED)
    assert answered.ephemeral
    assert "I see no picture to edit: reply to one of mine with `edit: …`" in answered.response.content
    assert len(world.env.errors) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"image": ("notes.txt", b"no picture at all")}, "PNG"),
        ({"image": ("empty.png", b"")}, ""),
        ({"image": ("photo.png", photo()), "source": "https://example.org"}, "Give either image or source"),
        ({"source": "https://discord.com/channels/1/2/3"}, "not in this server"),
        ({"source": "my cat"}, "Give the link of a message"),
        ({"source": "0123456789ab"}, "There is no such picture here."),
        ({"image": ("photo.png", photo()), "mask": ("mask.png", png(Image.new("L", (300, 100))))}, "mask"),
        ({"image": ("photo.png", photo()), "mask": ("mask.png", png(Image.new("L", (256, 256))))}, ""),
    ],
)
async def test_what_cannot_be_edited_is_one_sentence_and_no_job(world: World, options: dict, sentence: str) -> None:
    await world.member.slash(world.channel, "edit", prompt=CHANGED, **options)
    said = newest(world)
    assert sentence in said.content
    assert not said.attachments
    assert await rows(world, "SELECT id FROM jobs") == []
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    assert world.channel.history(viewer=stranger) == [], "nothing of it is left in public"
    assert world.env.errors is not None  # refusals of a command are raised and answered


@pytest.mark.pictures
async def test_edit_with_a_mask_leaves_the_rest_as_it_was(world: World) -> None:
    mask = Image.new("L", (256, 256))
    mask.paste(255, (96, 96, 160, 160))
    before = photo()
    await world.member.slash(
        world.channel, "edit", prompt=CHANGED, image=("photo.png", before), mask=("mask.png", png(mask))
    )
    after = picture_of(await newest(world).attachments[0].read())
    outside = (0, 0, 256, 90)
    assert after.crop(outside).tobytes() == picture_of(before).crop(outside).tobytes()
    assert after.tobytes() != picture_of(before).tobytes()


async def test_a_photo_of_another_shape_is_fitted(world: World) -> None:
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("p.png", photo((500, 300))))
    assert picture_of(await newest(world).attachments[0].read()).size == (320, 192)
