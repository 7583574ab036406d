"""Untrusted images become pixels or a refusal, in a child process with bounded memory and time that always exits."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image

from bot.errors import Refusal
from bot.media.untrusted_images import DecodedImage, ImageReader
from tests.helpers.corpus import CASES, LARGEST, SIZE, Case, assert_is_the_picture, endless_jpeg, picture, saved
from tests.helpers.waiting import until

START_SECONDS = 30.0
"""Seconds that a process may take to start on a very busy machine. What is caught here would take hours."""

PEAK = 300_000_000


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list to which the ids of started child processes are added."""
    started: list[int] = []
    start = asyncio.create_subprocess_exec

    async def recorded(*arguments: str, **options: object) -> asyncio.subprocess.Process:
        process = await start(*arguments, **options)
        started.append(process.pid)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", recorded)
    return started


def alive(children: list[int]) -> list[int]:
    return [pid for pid in children if psutil.pid_exists(pid)]


async def read(data: bytes) -> DecodedImage:
    return await ImageReader().read(data, 1)


async def peak_of(children: list[int], reading: asyncio.Task[DecodedImage]) -> int:
    """Return the peak memory of the children in bytes until the task was done."""
    peak = 0
    while not reading.done():
        for pid in children:
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            peak = max(peak, *(int(line.split()[1]) * 1024 for line in status.splitlines() if "VmHWM" in line), 0)
        await asyncio.sleep(0.002)
    return peak


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_each_ends_in_a_picture_or_one_sentence(case: Case, children: list[int]) -> None:
    data = case.make()
    began = time.monotonic()
    reading = asyncio.create_task(read(data))
    peak = await peak_of(children, reading)
    took = time.monotonic() - began
    try:
        decoded = await reading
    except Refusal as refusal:
        assert case.says
        assert case.says in str(refusal)
        assert str(refusal).endswith(".")
    else:
        assert (decoded.image.width, decoded.image.height) == case.size
        assert len(decoded.image.data) == 3 * decoded.image.width * decoded.image.height
        if case.size == SIZE:
            assert_is_the_picture(decoded)
    assert took < 2 + START_SECONDS
    assert peak < PEAK
    assert alive(children) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads what /proc shows")
@pytest.mark.parametrize("case", LARGEST, ids=[case.name for case in LARGEST])
async def test_the_largest_that_are_opened_stay_small_in_memory(case: Case, children: list[int]) -> None:
    reading = asyncio.create_task(ImageReader(seconds=20).read(case.make(), 1))
    peak = await peak_of(children, reading)
    decoded = await reading
    assert (decoded.image.width, decoded.image.height) == case.size
    assert 50_000_000 < peak < PEAK


async def test_more_bytes_than_may_be_are_not_opened(children: list[int]) -> None:
    with pytest.raises(Refusal, match=r"0\.1 MB, and I open up to 0\.0625 MB"):
        await ImageReader(limit_bytes=65_536).read(bytes(100_000), 1)
    assert children == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold a process to its memory")
async def test_a_child_gets_no_more_memory_than_is_allowed() -> None:
    large = saved(Image.new("L", (6000, 3900)), "PNG")
    with pytest.raises(Refusal, match="too much memory"):
        await ImageReader(memory=20 * 2**20).read(large, 1)


async def test_a_decoder_that_hangs_is_killed(children: list[int]) -> None:
    began = time.monotonic()
    with pytest.raises(Refusal, match="takes too long"):
        await ImageReader(seconds=0.3).read(endless_jpeg(), 1)
    assert time.monotonic() - began < 0.3 + START_SECONDS
    assert len(children) == 1
    assert alive(children) == []


async def test_a_child_that_dies_is_one_sentence(children: list[int]) -> None:
    reading = asyncio.create_task(ImageReader(seconds=60).read(endless_jpeg(), 1))
    await until(lambda: bool(children) and psutil.Process(children[0]).cpu_times().user > 0.3)
    psutil.Process(children[0]).kill()
    with pytest.raises(Refusal, match="damaged or unusual"):
        await reading


async def test_being_cancelled_kills_the_child(children: list[int]) -> None:
    for delay in (0, 0.001, 0.02, 0.1, 0.4):
        reading = asyncio.create_task(ImageReader(seconds=60).read(endless_jpeg(), 1))
        await asyncio.sleep(delay)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert alive(children) == []


@pytest.mark.skipif(sys.platform == "win32", reason="counts file descriptors")
async def test_no_pipe_is_left_open() -> None:
    await read(saved(picture(), "PNG"))
    before = psutil.Process().num_fds()
    for data in (saved(picture(), "PNG"), saved(picture(), "PNG")[:80], saved(picture(), "JPEG")[:300]):
        with contextlib.suppress(Refusal):
            await read(data)
    with pytest.raises(Refusal):
        await ImageReader(seconds=0.1).read(endless_jpeg(), 1)
    assert psutil.Process().num_fds() == before


async def test_a_member_has_two_read_at_once_and_everybody_three(children: list[int]) -> None:
    reader = ImageReader(seconds=60)
    slow = endless_jpeg()
    readings = [asyncio.create_task(reader.read(slow, member)) for member in (1, 1, 2, 3)]
    await until(lambda: len(children) == 3)
    with pytest.raises(Refusal, match="still opening two pictures of yours"):
        await reader.read(saved(picture(), "PNG"), 1)
    assert len(alive(children)) == 3, "the fourth waits"
    readings[0].cancel()
    await until(lambda: len(children) == 4)
    for reading in readings:
        reading.cancel()
    await asyncio.gather(*readings, return_exceptions=True)
    assert_is_the_picture(await reader.read(saved(picture(), "PNG"), 1))


LIES = {
    "no image": b"\6\0\0" + bytes(16),
    "an enormous image": b"\6\0\0" + b"\0\0\xff\xff" * 2 + bytes(8),
    "enormous texts": b"\6\0\0" + b"\0\0\0\1" * 2 + b"\xff" * 8,
    "more than the image": b"\6\0\0" + b"\0\0\0\1" * 2 + bytes(8),
    "no such verdict": b"\6\0\x63" + bytes(16),
}


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for the child")
@pytest.mark.parametrize("lie", LIES)
async def test_a_child_that_was_taken_over_is_not_believed(
    lie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, children: list[int]
) -> None:
    (tmp_path / "answer").write_bytes(LIES[lie])
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nexec cat {tmp_path / 'answer'} /dev/zero\n")
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(Refusal, match="damaged or unusual"):
        await read(saved(picture(), "PNG"))
    assert alive(children) == []
