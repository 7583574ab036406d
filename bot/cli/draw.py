"""``zimage-bot imagine`` and ``zimage-bot edit``: the engine without Discord, with a progress bar."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bot.configured_models import choose_profiles, engine_config
from bot.errors import WrongUsage
from bot.media.files import save_picture
from bot.media.resizing import nearest_size
from bot.media.untrusted_images import DecodedImage, ImageReader
from bot.requests.flags import EDIT_FLAGS, read_flags
from bot.requests.models import Models
from bot.requests.originals import Original, fit_original
from bot.requests.parameters import encode_picture
from bot.requests.spec import ImageOptions, ImageSpec, build_edit_spec, build_spec, choose_size
from bot.settings import Settings
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.places import first_device
from zimage_engine.profiles import ModelProfile
from zimage_engine.types import Failed, Finished, Step

_STAGE_SECONDS = 0.2


def draw_to_files(settings: Settings, options: ImageOptions, out: Path) -> None:
    """Generate images and write them to ``out``, numbered if there are several; print their paths.

    Raises the errors that the bot would show to a member, and :class:`StartupError`.
    """
    models = Models(choose_profiles(settings))
    options = read_flags(options, models=models, max_count=settings.max_count)
    profile = models.of(options)
    spec, count = build_spec(options, profile, max_count=settings.max_count)
    _run(settings, profile, spec, count, None, out)


def edit_to_files(settings: Settings, picture: Path, options: ImageOptions, mask: Path | None, out: Path) -> None:
    """Edit the picture in a file, only where ``mask`` is white if there is one; else as :func:`draw_to_files`."""
    models = Models(choose_profiles(settings))
    options = read_flags(options, EDIT_FLAGS, models=models, max_count=settings.max_count)
    profile = models.of(options)
    reader = ImageReader(limit_bytes=settings.max_upload_mb * 2**20)
    read, drawn = asyncio.run(_read(reader, picture)), asyncio.run(_read(reader, mask)) if mask else None
    size = nearest_size(profile, read.image.width, read.image.height)
    if options.size or options.aspect:
        size = choose_size(options.size, options.aspect, profile)
    original = fit_original(read, drawn, size, options.fit)
    masked = original.mask is not None
    spec, count = build_edit_spec(options, profile, max_count=settings.max_count, size=size, masked=masked)
    original.check(profile, spec.strength)
    _run(settings, profile, replace(spec, original=original.name), count, original, out)


async def _read(reader: ImageReader, path: Path) -> DecodedImage:
    try:
        data = await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise WrongUsage(f"{path} cannot be read: {error.strerror}. Name another file.") from error
    return await reader.read(data, 0)


def _run(
    settings: Settings, profile: ModelProfile, spec: ImageSpec, count: int, original: Original | None, out: Path
) -> None:
    paths = [out] if count == 1 else [out.with_stem(f"{out.stem}-{number + 1}") for number in range(count)]
    if out.suffix.lower() != ".png":
        raise WrongUsage(f"{out} does not end in .png: pictures are saved as PNG.")
    from transformers.utils.logging import disable_progress_bar  # noqa: PLC0415 - slow to import

    console = Console(stderr=True)
    disable_progress_bar()  # transformers' own bar would be mixed with the line that says what is loading
    # Nothing is measured, so nobody knows how long a unit may take: the person at the command line decides.
    config = replace(
        engine_config(settings, profile),
        device=first_device(settings.device),  # pictures are made one after the other
        measure=False,
        worker="thread",
        unit_limit=math.inf,
    )
    asyncio.run(_draw(config, [spec.image(number) for number in range(count)], original, paths, console))


async def _draw(
    config: EngineConfig, specs: list[ImageSpec], original: Original | None, paths: list[Path], console: Console
) -> None:
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
                await asyncio.wait([ready], timeout=_STAGE_SECONDS)
            await ready
        with bar:
            task = bar.add_task("steps", total=sum(spec.real_steps for spec in specs))
            for number, (spec, path) in enumerate(zip(specs, paths, strict=True)):
                png = await _one(engine, spec, original, number, bar, task)
                await asyncio.to_thread(save_picture, path, png)
                bar.console.print(f"{path} · seed {spec.seed} · {spec.size} · {spec.steps} steps")
    finally:
        await engine.close()


async def _one(
    engine: Engine, spec: ImageSpec, original: Original | None, number: int, bar: Progress, task: object
) -> bytes:
    done = 0
    request = spec.request(str(number))
    if original is not None:
        request = original.applied_to(request)
    async for event in engine.submit(request, owner="command line"):
        match event:
            case Step():
                bar.advance(task, event.done - done)  # type: ignore[arg-type]
                done = event.done
            case Finished():
                return await asyncio.to_thread(encode_picture, event.image, spec)
            case Failed():
                raise event.error
            case _:
                pass
    raise AssertionError("a handle ends with a terminal event")
