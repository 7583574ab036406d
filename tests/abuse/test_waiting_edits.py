"""Attacks on memory by edits that wait: for their turn, or for their member to answer the question about the price."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.commands import questions
from bot.media.untrusted_images import DecodedImage
from bot.playground.world import World
from bot.requests.originals import Original
from tests.helpers.pictures import CHANGED, newest, photo, rows
from tests.helpers.waiting import until
from zimage_engine.types import RawImage

COLOURS = ("red", "green", "blue", "yellow")
COSTLY = {"count": 4, "steps": 20, "strength": 0.9}
PIXELS = (Image.Image, RawImage, DecodedImage, Original)


@pytest.fixture
def only_new_objects(world: World) -> None:
    """Have the collector leave out what is there already: looking through all of torch takes seconds."""
    del world
    gc.freeze()


def in_memory() -> list[object]:
    """Return the new images in memory that could be originals: those of at least 128 × 128 pixels."""
    gc.collect()
    found = [each for each in gc.get_objects() if issubclass(type(each), PIXELS)]
    return [each for each in found if isinstance(each, (DecodedImage, Original)) or each.width * each.height >= 128**2]


def folder(world: World) -> Path:
    path: Path = world.env.bot.parts.jobs.originals.folder
    return path


def files(world: World) -> int:
    return sum(1 for _ in folder(world).glob("*.png"))


async def edits(world: World, **options: Any) -> list[Any]:
    """Have four members ask for an edit of a picture each. Returns the members."""
    members = [world.channel.guild.add_member(world.env.create_user(f"of {colour}")) for colour in COLOURS]
    for member, colour in zip(members, COLOURS, strict=True):
        image = (f"{colour}.png", photo(colour=colour))
        await member.slash(world.channel, "edit", prompt=CHANGED, image=image, **options)
    return members


@pytest.mark.usefixtures("only_new_objects")
async def test_edits_that_wait_for_their_turn_hold_no_pixels_in_memory(world: World) -> None:
    world.env.bot.jobs.drain()  # requests are taken, and wait
    await edits(world, steps=1, strength=0.5)
    assert [row["state"] for row in await rows(world, "SELECT state FROM jobs")] == ["queued"] * 4
    assert in_memory() == []
    assert files(world) == 4


@pytest.mark.usefixtures("only_new_objects")
async def test_questions_about_edits_hold_no_pixels_in_memory_and_leave_no_file(world: World) -> None:
    declining, replacing, deleting, paying = await edits(world, **COSTLY)
    open_questions = world.env.bot.parts.questions
    assert len(open_questions.open_ids) == files(world) == 4
    assert in_memory() == []

    await declining.click(newest(world, declining), label="Cancel")
    assert files(world) == 3
    await replacing.slash(world.channel, "imagine", prompt=CHANGED, count=4, steps=9)
    await until(lambda: files(world) == 2)
    open_questions.drop_of(deleting.id)  # as deleting one's data does
    await until(lambda: files(world) == 1)
    await paying.click(newest(world, paying), label="Generate")
    assert [row["state"] for row in await rows(world, "SELECT state FROM jobs")] == ["delivered"]
    assert files(world) == 1
    assert len(newest(world).attachments) == 4


async def test_questions_that_expire_or_are_refused_on_yes_leave_no_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking, late, *_ = await edits(world, **COSTLY)
    terms = world.env.bot.jobs.admission.terms
    world.env.bot.jobs.admission.terms = replace(terms, defaults={**terms.defaults, "concurrent_jobs": 0})
    await asking.click(newest(world, asking), label="Generate")
    assert "(“Requests at once” is 0)" in newest(world, asking).content
    assert files(world) == 3
    world.env.bot.jobs.admission.terms = terms
    monkeypatch.setattr(questions, "_MAX", 3)  # the oldest expires, as it does after twelve minutes
    await world.member.slash(world.channel, "imagine", prompt=CHANGED, count=4, steps=9)
    await until(lambda: files(world) == 2)
    assert newest(world, late).content.startswith("This question has expired, and nothing was charged.")
    assert await rows(world, "SELECT id FROM jobs") == []
