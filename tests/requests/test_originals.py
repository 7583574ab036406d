"""The stored originals of edits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bot.requests.originals import Original, OriginalFolder
from zimage_engine.pixels import read_original
from zimage_engine.profiles import Size
from zimage_engine.types import ImageRequest, RawImage

SIDE = 8
PIXELS = np.random.default_rng(1).integers(0, 256, 3 * SIDE * SIDE, dtype=np.uint8).tobytes()


def test_a_file_that_the_engine_would_not_read_is_written_anew(tmp_path: Path) -> None:
    """Also if its pixels can still be decoded: with a wrong checksum, the engine refuses it."""
    folder, original = OriginalFolder(tmp_path), Original(RawImage(SIDE, SIDE, PIXELS))
    name, _ = folder.keep(original)
    path = tmp_path / f"{name}.png"
    request = folder.applied_to(ImageRequest("a", "p", SIDE, SIDE, 2, 1), name)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        assert folder.keep(original) == (name, "")
        assert read_original(request) == original.image, at


def test_an_original_and_its_mask_come_to_another_size_together() -> None:
    mask = bytes([0] * SIDE * (SIDE // 2) + [255] * SIDE * (SIDE // 2))
    half = Original(RawImage(SIDE, SIDE, PIXELS), mask).resized(Size(SIDE // 2, SIDE // 2))
    assert half.size == Size(SIDE // 2, SIDE // 2)
    assert half.mask == bytes([0] * (SIDE // 2) * (SIDE // 4) + [255] * (SIDE // 2) * (SIDE // 4))
