"""``zimage-bot imagine``: the engine without Discord, with a progress bar."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from transformers.utils.logging import disable_progress_bar

from bot.errors import StartupError
from bot.jobs.files import save_picture
from bot.jobs.flags import read_flags
from bot.jobs.spec import ImageSpec, Wishes, settle
from bot.media.metadata import encode_png
from bot.services import choose_profile, engine_config
from bot.settings import Settings
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.types import Failed, Finished, Step

_LOOK_SECONDS = 0.2


def draw_to_files(settings: Settings, wishes: Wishes, out: Path) -> None:
    """Draw what is wished for and save it; says where. Raises the same errors as the bot would show."""
    profile = choose_profile(settings)
    spec, count = settle(read_flags(wishes), profile, max_count=settings.max_count)
    paths = [out] if count == 1 else [out.with_stem(f"{out.stem}-{number + 1}") for number in range(count)]
    if out.suffix.lower() != ".png":
        raise StartupError(f"{out} does not end in .png: pictures are saved as PNG.")
    console = Console(stderr=True)
    disable_progress_bar()  # it shows one part of the model only, beside the line that says what is loading
    config = replace(engine_config(settings, profile), measure=False)
    asyncio.run(_draw(config, [spec.image(number) for number in range(count)], paths, console))


async def _draw(config: EngineConfig, specs: list[ImageSpec], paths: list[Path], console: Console) -> None:
    engine = Engine.start(config)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
    try:
        with console.status("") as shown:
            ready = asyncio.ensure_future(engine.ready())
            while not ready.done():
                stage = engine.stats().stage
                shown.update(f"Loading {config.profile.title} … {stage}")
                await asyncio.wait([ready], timeout=_LOOK_SECONDS)
            await ready
        with bar:
            task = bar.add_task("steps", total=sum(spec.steps for spec in specs))
            for number, (spec, path) in enumerate(zip(specs, paths, strict=True)):
                png = await _one(engine, spec, number, bar, task)
                await asyncio.to_thread(save_picture, path, png)
                bar.console.print(f"{path} · seed {spec.seed} · {spec.size} · {spec.steps} steps")
    finally:
        await engine.close()


async def _one(engine: Engine, spec: ImageSpec, number: int, bar: Progress, task: object) -> bytes:
    done = 0
    async for event in engine.submit(spec.request(str(number)), owner="command line"):
        match event:
            case Step():
                bar.advance(task, event.done - done)  # type: ignore[arg-type]
                done = event.done
            case Finished():
                return await asyncio.to_thread(encode_png, event.image, spec.fields())
            case Failed():
                raise event.error
            case _:
                pass
    raise AssertionError("a handle ends with a terminal event")
