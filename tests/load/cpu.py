"""The processor's time for a job of one picture of 256², outside the model, by what it goes to; and that of PNGs.

    python -m tests.load.cpu

The bot is a process of its own with a device that takes almost no time; five jobs a second come over real sockets. Its
picture is hard to compress. Figures are seconds of CPU, so that other processes matter little.
"""

from __future__ import annotations

import asyncio
import pstats
import tempfile
import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from PIL import Image

from tests.load.crowd import CrowdRun, Load
from tests.load.pictures import textured
from tests.load.samples import Sample, read_samples

LOAD = Load(members=20, channels=10, commands=5, seconds=20.0)
_THREADS = {
    "encoder": "encoding and writing the PNG and its thumbnail",
    "MainThread": "the event loop",
    "database-writer": "writing to the database",
    "asyncio": "other threads, for files",
}
_IDLE = 4
_PARTS = {
    "HTTP requests to Discord": ("discord/webhook/async_.py", "request"),
    "HTTP requests to Discord, messages": ("discord/http.py", "request"),
    "events of the gateway": ("discord/gateway.py", "received_message"),
    "lines of the log": ("logging/__init__.py", "_log"),
    "the command up to its card": ("bot/jobs/service.py", "run"),
}
_METHODS = {
    "level 6": {"compress_level": 6},
    "level 4": {"compress_level": 4},
    "level 3": {"compress_level": 3},
    "level 1": {"compress_level": 1},
    "run lengths": {"compress_type": Image.RLE},
    "none": {"compress_level": 0},
}


def by_thread(samples: Sequence[Sample], began: float, jobs: int) -> dict[str, float]:
    """Return the milliseconds of CPU per job by thread, less what an idle bot takes."""
    idle = [sample for sample in samples if sample.at < began][-_IDLE:]  # after the start has ended
    busy = [sample for sample in samples if sample.at >= began]
    found: dict[str, float] = {}
    for name, seconds in busy[-1].by_thread.items():
        rate = (idle[-1].by_thread.get(name, 0.0) - idle[0].by_thread.get(name, 0.0)) / (idle[-1].at - idle[0].at)
        used = seconds - idle[-1].by_thread.get(name, 0.0) - rate * (busy[-1].at - idle[-1].at)
        found[_THREADS.get(name, "the rest")] = found.get(_THREADS.get(name, "the rest"), 0.0) + used / jobs * 1000
    return found


def parts_of_loop(path: Path, jobs: int) -> dict[str, float]:
    """Return the milliseconds per job of some calls on the event loop, with all that they call, under the profiler."""
    stats = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]
    found: dict[str, float] = {}
    for title, (file, name) in _PARTS.items():
        spent = sum(row[3] for (where, _, called), row in stats.items() if called == name and where.endswith(file))
        found[title] = spent / jobs * 1000
    return found


def png_table(image: Image.Image) -> list[tuple[str, float, float]]:
    """Return for each way to compress a PNG the milliseconds of CPU and the kilobytes, the best of three."""
    found = []
    for title, options in _METHODS.items():
        seconds = []
        for _ in range(3):
            buffer, began = BytesIO(), time.thread_time()
            image.save(buffer, "PNG", **options)
            seconds.append(time.thread_time() - began)
        found.append((title, min(seconds) * 1000, buffer.tell() / 1000))
    return found


def pictures() -> dict[str, Image.Image]:
    """Return pictures of 1024²: a photo (matplotlib's own, made larger), a texture, and shapes of one colour."""
    photo = Image.open(Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")
    shapes = Image.open(Path(__file__).parents[2] / "docs" / "images" / "demo.png").convert("RGB")
    side = min(photo.size)
    square = photo.crop((0, 0, side, side)).resize((1024, 1024), Image.Resampling.BICUBIC)
    return {
        "photo": square,
        "texture": textured(1024),
        "shapes": shapes.crop((0, 0, 400, 400)).resize((1024, 1024), Image.Resampling.BICUBIC),
    }


def main() -> None:
    print("| PNG of 1024² | how | ms | kB |\n|---|---|---|---|")
    for title, image in pictures().items():
        for how, milliseconds, kilobytes in png_table(image):
            print(f"| {title} | {how} | {milliseconds:.0f} | {kilobytes:.0f} |")
    jobs = LOAD.members * LOAD.commands
    with tempfile.TemporaryDirectory() as name:
        run = CrowdRun(Path(name), LOAD)
        asyncio.run(run.run(1, idle_seconds=8.0))
        samples = read_samples(Path(name) / "samples.jsonl")
        found = by_thread(samples, run.began, jobs)
    print("\n| a job of 256² | ms of CPU |\n|---|---|")
    for title, milliseconds in sorted(found.items(), key=lambda each: -each[1]):
        print(f"| {title} | {milliseconds:.1f} |")
    print(f"| all | {sum(found.values()):.1f} |")
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(CrowdRun(Path(name), LOAD).run(1, CALLS=str(Path(name) / "calls")))
        parts = parts_of_loop(Path(name) / "calls", jobs)
    print("\n| on the event loop, profiled | ms per job |\n|---|---|")
    for title, milliseconds in sorted(parts.items(), key=lambda each: -each[1]):
        print(f"| {title} | {milliseconds:.1f} |")


if __name__ == "__main__":
    main()
