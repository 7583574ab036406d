"""Pixels of results between processes: through shared memory, or by the pipe where it has no room."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from zimage_engine.shared_pixels import SharedPixels
from zimage_engine.types import PlanResult, RawImage


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="shared memory is elsewhere")  # noqa: S108
def test_shared_memory_is_reserved_so_that_writing_to_it_cannot_fail() -> None:
    pixels = SharedPixels(100_000)
    try:
        assert 512 * Path("/dev/shm", pixels.name).stat().st_blocks >= 200_000  # noqa: S108
    finally:
        pixels.close(unlink=True)


def test_without_room_for_shared_memory_pictures_come_by_the_pipe(caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        here = SharedPixels(100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    there = SharedPixels(here.size, here.name)
    result = PlanResult(1.0, images={"a": RawImage(4, 4, bytes(range(48)))})
    assert here.unpack(there.pack(result)) == result
    assert "no shared memory" in caplog.text
    there.close()
    here.close(unlink=True)


def test_pictures_that_do_not_fit_into_shared_memory_come_by_the_pipe() -> None:
    here = SharedPixels(100)
    there = SharedPixels(100, here.name)
    try:
        for number in range(4):
            images = {f"{side}": RawImage(side, side, bytes([number + side]) * (3 * side * side)) for side in (5, 4, 9)}
            result = PlanResult(1.0, images=images, previews={"5": RawImage(1, 1, b"abc")})
            packed = there.pack(result)
            assert set(packed.places) == {("images", "5"), ("previews", "5")}
            assert here.unpack(packed) == result
    finally:
        there.close()
        here.close(unlink=True)
