"""The files of an edit: what is read of them, and what a request that waits for that costs."""

from __future__ import annotations

import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.engines import start_engine
from tests.helpers.four_requests import SIDE, make_edit, make_request
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.pixels import read_mask, read_original, to_png
from zimage_engine.types import EngineError, ImageRequest, InvalidRequest, OriginalUnreadable, RawImage
from zimage_engine.weights import complete_profile

PIXELS = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
MASK = Image.fromarray(PIXELS[..., 0])
PHOTO = to_png(Image.fromarray(PIXELS))


def edit(name: str = "a", **changes: object) -> ImageRequest:
    return replace(make_request(name), **({"original": PHOTO} | changes))


@pytest.fixture
async def engine(cache_dir: Path) -> Engine:
    return start_engine(EngineConfig(complete_profile(find_profile("demo")), "cpu", cache_dir=cache_dir))


def test_a_path_and_bytes_give_the_same_pixels(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(PHOTO)
    (tmp_path / "mask.png").write_bytes(to_png(MASK))
    for request in (
        edit(mask=to_png(MASK)),
        edit(original=tmp_path / "image.png", mask=tmp_path / "mask.png"),
    ):
        assert read_original(request) == RawImage(SIDE, SIDE, PIXELS.tobytes())
        assert read_mask(request) == MASK.tobytes()


def test_no_damaged_file_is_read_as_a_picture() -> None:
    """Cut anywhere, or with any one byte changed: a sentence, and never other pixels."""
    small = to_png(Image.fromarray(PIXELS[:4, :4]))
    request = replace(edit(), width=4, height=4)
    whole = read_original(replace(request, original=small))
    damaged = [small[:length] for length in range(len(small) - 12)]  # the end mark alone may be missing
    damaged += [small[:at] + bytes([small[at] ^ 0x55]) + small[at + 1 :] for at in range(len(small))]
    damaged += [b"", b"\xff\xd8\xff\xe0 a photo", PHOTO.replace(b"IDAT", b"IDOT")]
    for content in damaged:
        try:
            assert read_original(replace(request, original=content)) == whole
        except OriginalUnreadable as error:
            assert str(error) == "The image of this edit is missing or damaged: please give it again."
        except InvalidRequest as error:
            assert str(error) == "The image must have exactly 4x4 pixels."


def test_a_file_of_another_size_or_kind_is_refused(tmp_path: Path) -> None:
    narrow = to_png(Image.new("L", (SIDE, SIDE - 1), 255))
    with pytest.raises(InvalidRequest, match=r"^The image must have exactly 128x128 pixels\.$"):
        read_original(edit(original=narrow))
    with pytest.raises(InvalidRequest, match=r"^The mask must have exactly 128x128 pixels\.$"):
        read_mask(edit(mask=narrow))
    with pytest.raises(OriginalUnreadable, match=r"^The mask of this edit is missing or damaged"):
        read_mask(edit(mask=tmp_path / "absent.png"))
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "photo.png", "JPEG")
    with pytest.raises(OriginalUnreadable, match=r"^The image of this edit is missing or damaged"):
        read_original(edit(original=tmp_path / "photo.png"))


@pytest.mark.parametrize("shade", [0, 127])
def test_a_mask_that_marks_nothing_is_refused_in_a_sentence(shade: int) -> None:
    mask = Image.new("L", (SIDE, SIDE), shade)
    with pytest.raises(InvalidRequest, match=r"^The mask marks nothing: .*white.*\.$"):
        read_mask(edit(mask=to_png(mask)))
    mask.putpixel((SIDE - 1, SIDE - 1), 128)
    assert read_mask(edit(mask=to_png(mask))) == mask.tobytes()


async def test_a_file_that_cannot_be_used_fails_alone(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "damaged.png").write_bytes(PHOTO[:5000])
    asks = [
        make_edit("a"),
        replace(make_edit("b"), original=tmp_path / "absent.png"),
        replace(make_edit("c"), original=tmp_path / "damaged.png"),
        replace(make_edit("d"), original=to_png(Image.new("RGB", (SIDE, 96)))),
        replace(make_edit("a"), id="unmarked", mask=to_png(Image.new("L", (SIDE, SIDE)))),
    ]
    handles = {ask.id: engine.submit(ask, owner=ask.id) for ask in asks}
    errors: dict[str, type[EngineError]] = {}
    for name, handle in handles.items():
        try:
            await handle.result()
        except EngineError as error:
            errors[name] = type(error)
    assert errors == {
        "b": OriginalUnreadable,
        "c": OriginalUnreadable,
        "d": InvalidRequest,
        "unmarked": InvalidRequest,
    }
    assert (await engine.submit(replace(make_edit("a"), id="after"), owner=1).result()).image.width == SIDE
    await engine.close()


async def test_a_hundred_waiting_edits_hold_no_pixels(tmp_path: Path) -> None:
    """Each would hold 48 KiB of pixels and 16 KiB of mask; an edit at 1024² 64 times that."""
    (tmp_path / "image.png").write_bytes(PHOTO)
    (tmp_path / "mask.png").write_bytes(to_png(MASK))
    engine = Engine(EngineConfig(complete_profile(find_profile("demo")), "cpu"))  # not started: everything waits
    tracemalloc.start()
    try:
        for number in range(100):
            request = edit(original=tmp_path / "image.png", mask=tmp_path / "mask.png")
            engine.submit(replace(request, id=f"{number}"), owner=number)
            assert len(pickle.dumps(request)) < 2000
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / 100 < 16_000
    assert (tmp_path / "image.png").stat().st_size > 40_000
