"""Edits: a mask keeps what is outside it, and the demo model makes the requested change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.engines import start_engine
from training.edits import KINDS, EditCase, judge, some_edits
from training.scenes import Scene
from zimage_engine.catalog import PROFILES, find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.model.sampling import composite, grow_mask, latent_mask
from zimage_engine.pixels import to_png
from zimage_engine.types import ImageRequest, RawImage
from zimage_engine.weights import complete_profile

SIDE, CELL = 256, 16
PAINT = EditCase("colour", Scene("square", "red", "white"), Scene("square", "blue", "white"), 3)


@st.composite
def masks(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """Generate a mask with a few marked pixels of any value, and the scale of its cells."""
    scale, rows, columns = draw(st.sampled_from([8, 16])), draw(st.integers(1, 5)), draw(st.integers(1, 5))
    mask = np.zeros((rows * scale, columns * scale), np.uint8)
    places = st.tuples(st.integers(0, rows * scale - 1), st.integers(0, columns * scale - 1), st.integers(0, 255))
    for row, column, shade in draw(st.lists(places, max_size=12)):
        mask[row, column] = shade
    return mask, scale


def enlarged(cells: np.ndarray, scale: int) -> np.ndarray:
    return cells.repeat(scale, 0).repeat(scale, 1)


@given(masks())
def test_a_cell_is_repainted_just_where_one_of_its_pixels_is_marked(drawn: tuple[np.ndarray, int]) -> None:
    mask, scale = drawn
    height, width = mask.shape
    cells = grow_mask(mask.tobytes(), width, height, scale)
    assert cells.shape == (1, height // scale, width // scale)
    assert (enlarged(cells[0].numpy(), scale)[mask >= 128] == 1).all()
    for row, column in np.argwhere(cells[0].numpy() == 1):
        cell = mask[row * scale : (row + 1) * scale, column * scale : (column + 1) * scale]
        assert cell.max() >= 128
    assert set(np.unique(cells.numpy())) <= {0.0, 1.0}


@given(masks(), st.integers(0, 2**32 - 1))
def test_a_composite_has_every_pixel_from_one_of_the_two(drawn: tuple[np.ndarray, int], seed: int) -> None:
    mask, scale = drawn
    height, width = mask.shape
    new, old = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    cells = grow_mask(mask.tobytes(), width, height, scale)
    made = composite(RawImage(width, height, new.tobytes()), RawImage(width, height, old.tobytes()), cells)
    expected = np.where(enlarged(cells[0].numpy(), scale)[..., None] == 1, new, old)
    assert made == RawImage(width, height, expected.tobytes())


def a_noisy_photo() -> Image.Image:
    """Return random pixels, none of which an autoencoder reproduces by chance."""
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


async def drawn_by_the_engine(cache_dir: Path, *requests: ImageRequest) -> list[np.ndarray]:
    engine = start_engine(EngineConfig(complete_profile(find_profile("demo")), "cpu", cache_dir=cache_dir))
    try:
        handles = [engine.submit(request, owner=1) for request in requests]
        images = [(await handle.result()).image for handle in handles]
    finally:
        await engine.close()
    return [np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3) for image in images]


async def test_outside_the_grown_mask_every_byte_is_the_originals_and_inside_it_is_drawn_anew(cache_dir: Path) -> None:
    photo, mask = a_noisy_photo(), Image.new("L", (SIDE, SIDE))
    mask.paste(255, (100, 70, 180, 200))
    grown = np.zeros((SIDE, SIDE), bool)
    grown[64:208, 96:192] = True
    keep = replace(PAINT.by_mask(), original=to_png(photo), mask=to_png(mask), steps=4, keep_outside=True)
    before = np.asarray(photo)
    kept, theirs = await drawn_by_the_engine(cache_dir, keep, replace(keep, id="theirs", keep_outside=False))
    changed = (kept != before).any(axis=2)
    assert not changed[~grown].any()
    assert changed[grown].mean() > 0.99
    assert (theirs != before).any(axis=2)[~grown].mean() > 0.99, "without it the autoencoder repaints all"


async def test_the_smallest_mark_repaints_its_cell_and_no_more(cache_dir: Path) -> None:
    photo, mask = a_noisy_photo(), Image.new("L", (SIDE, SIDE))
    mask.putpixel((37, 250), 128)
    mask.putpixel((200, 8), 127)
    assert latent_mask(mask.tobytes(), SIDE, SIDE, CELL).sum() == 0, "diffusers' own mask misses it"
    request = replace(PAINT.by_mask(), original=to_png(photo), mask=to_png(mask), steps=2)
    [after] = await drawn_by_the_engine(cache_dir, request)
    rows, columns = np.nonzero((after != np.asarray(photo)).any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (240, 255, 32, 47)


def test_a_profile_that_edits_by_strength_leaves_something_of_the_picture_by_default() -> None:
    profiles = [profile for profile in PROFILES.values() if profile.editing == "img2img"]
    assert len(profiles) >= 3
    for profile in profiles:
        request = replace(PAINT.by_prompt(profile.strength), steps=int(profile.steps.default))
        assert 0 < request.real_steps < request.steps


def test_the_measured_edits_change_one_thing_each_evenly_and_to_unseen_scenes() -> None:
    edits = some_edits(99)
    assert [sum(edit.kind == kind for edit in edits) for kind in KINDS] == [33, 33, 33]
    for edit in edits:
        assert edit.after.held_out
        assert replace(edit.before, **{edit.kind: getattr(edit.after, edit.kind)}) == edit.after != edit.before


@pytest.mark.parametrize("kind", KINDS)
def test_the_judge_sees_a_change_that_was_not_made_a_figure_that_moved_and_a_pixel_that_changed(kind: str) -> None:
    edit = next(
        edit
        for edit in some_edits(60)
        if (edit.kind, edit.after.place) == (kind, "centre") and edit.after.size != "large"
    )
    request = edit.by_mask()
    untouched = judge(edit, request, edit.picture())
    assert (untouched.made, untouched.place, untouched.rest, untouched.outside) == (False, True, True, True)
    wished = replace(edit, before=edit.after).picture()
    assert judge(edit, edit.by_prompt(0.6), wished).made
    moved = replace(edit, before=replace(edit.after, place="left")).picture()
    elsewhere = judge(edit, edit.by_prompt(0.6), moved)
    assert (elsewhere.made, elsewhere.place, elsewhere.rest) == (True, False, False)
    marked = np.asarray(edit.mask()) >= 128
    row, column = np.argwhere(~enlarged(marked.reshape(16, CELL, 16, CELL).any(axis=(1, 3)), CELL))[0]
    picture = edit.picture()
    picture.putpixel((int(column), int(row)), (1, 2, 3))
    assert judge(edit, request, picture).outside is False


async def test_the_demo_model_makes_the_change_and_keeps_the_place(cache_dir: Path) -> None:
    """Edits of each kind by prompt, at the profile's strength, and by mask; they are not hand-picked."""
    edits, strength = some_edits(3), find_profile("demo").strength
    asks = [(edit, edit.by_prompt(strength)) for edit in edits]
    asks += [(edit, replace(edit.by_mask(), id=f"mask {edit.seed}")) for edit in edits]
    drawn = await drawn_by_the_engine(cache_dir, *(request for _, request in asks))
    outcomes = [
        judge(edit, request, Image.fromarray(pixels)) for (edit, request), pixels in zip(asks, drawn, strict=True)
    ]
    assert [outcome.made and outcome.place for outcome in outcomes] == [True] * 6
    assert [outcome.outside for outcome in outcomes] == [None] * 3 + [True] * 3
