"""``zimage-bot verify``: one picture by the engine and by plain diffusers from the same weights, compared by pixels."""

from __future__ import annotations

import asyncio
import contextlib
import math
import platform
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from diffusers.utils.logging import disable_progress_bar as quiet_diffusers
from rich.console import Console
from transformers.utils.logging import disable_progress_bar as quiet_transformers

from bot.configured_models import choose_profiles, engine_config
from bot.errors import WrongUsage
from bot.media.files import save_picture
from bot.media.sheets import compare_sheet
from bot.settings import Settings
from zimage_engine.catalog import DEMO_WEIGHTS
from zimage_engine.device.devices import pick_device, title_of
from zimage_engine.device.loading import plan_for
from zimage_engine.device.memory import GB, MemoryPlan
from zimage_engine.device.out_of_memory import free_memory
from zimage_engine.device.reference import Reference
from zimage_engine.engine import Engine
from zimage_engine.pixels import to_png
from zimage_engine.places import first_device
from zimage_engine.profiles import ModelProfile
from zimage_engine.types import ImageRequest, RawImage
from zimage_engine.weights import weights_folder

BOUND = 1
"""The largest difference of a value, out of 255, that rounding explains: docs/engine.md."""

_WARM_UP = "a picture before the one that is measured"
_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Side:
    """What the engine or diffusers did: the picture, seconds to load and to generate, the most memory held in bytes."""

    image: RawImage
    load_seconds: float
    seconds: float
    peak_memory: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides, and by how much the values of their pixels differ, out of 255."""

    engine: Side
    diffusers: Side
    largest: int
    mean: float

    @property
    def equal(self) -> bool:
        return self.largest <= BOUND


def verify(settings: Settings, prompt: str, seed: int, out: Path, console: Console | None = None) -> bool:
    """Compare each of the models that the settings name, as :func:`_verify_one` does; return whether all are equal.

    Raises :class:`EngineError`, and :class:`StartupError` for a model that needs a picture to begin with.
    """
    console = console or Console(soft_wrap=True, highlight=False)
    quiet_diffusers()  # their bars would be mixed with what is printed here
    quiet_transformers()
    profiles = choose_profiles(settings)
    folders = [out / profile.name if len(profiles) > 1 else out for profile in profiles]
    compared = [
        _verify_one(settings, profile, prompt, seed, folder, console)
        for profile, folder in zip(profiles, folders, strict=True)
    ]
    return all(compared)


def _verify_one(settings: Settings, profile: ModelProfile, prompt: str, seed: int, out: Path, console: Console) -> bool:
    """Print the comparison, save the pictures in the folder ``out``; return whether they are the same within the bound.

    Raises as :func:`verify`.
    """
    if profile.editing == "instruction":
        raise WrongUsage(f"{profile.title} edits pictures: `zimage-bot verify` compares models that need none.")
    request = profile.request(prompt, seed=seed)
    profile.check(request)
    with console.status("") as shown:
        folder = weights_folder(profile, lambda stage: shown.update(f"{profile.title}: {stage}"))
    device = pick_device(settings.device)
    plan = plan_for(folder, device, settings.dtype)
    console.print(f"{profile.title} on {_machine(device)}: {plan}; {_versions()}")
    with console.status("by the engine …"):
        ours = asyncio.run(_by_engine(settings, profile, request, device))
        free_memory()
    console.print(f"engine:    {_told(ours)}")
    with console.status("by diffusers' ZImagePipeline …"):
        theirs = _by_diffusers(folder, plan, request, device)
    console.print(f"diffusers: {_told(theirs)}")
    compared = compare(ours, theirs)
    console.print(_verdict(compared))
    console.print(f"Saved in {out}: {', '.join(_save(compared, out))}.")
    console.print("\nFor docs/verified.md:\n")
    console.print(markdown(profile, folder, device, plan, request, compared), markup=False)
    return compared.equal


def compare(engine: Side, diffusers: Side) -> Comparison:
    """Return by how much the pictures differ."""
    difference = np.abs(_values(engine.image) - _values(diffusers.image))
    return Comparison(engine, diffusers, int(difference.max()), float(difference.mean()))


async def _by_engine(settings: Settings, profile: ModelProfile, request: ImageRequest, device: torch.device) -> Side:
    # Other kernels round in other places. Nothing is measured, so nobody knows how long a unit may take.
    config = replace(
        engine_config(settings, profile),
        device=first_device(settings.device),
        attention="auto",
        compiled=False,
        measure=False,
        worker="thread",
        unit_limit=math.inf,
    )
    with _peak_memory(device) as peak:
        began = time.perf_counter()
        async with Engine.start(config) as engine:
            loaded = time.perf_counter() - began
            for unmeasured in _warm_up(request, device):
                await engine.submit(unmeasured, owner="verify").result()
            began = time.perf_counter()
            image = (await engine.submit(request, owner="verify").result()).image
            seconds = time.perf_counter() - began
        return Side(image, loaded, seconds, peak())


def _by_diffusers(folder: Path, plan: MemoryPlan, request: ImageRequest, device: torch.device) -> Side:
    with _peak_memory(device) as peak:
        began = time.perf_counter()
        reference = Reference(folder, device, plan)
        loaded = time.perf_counter() - began
        for unmeasured in _warm_up(request, device):
            reference.generate(unmeasured)
        began = time.perf_counter()
        image = reference.generate(request)
        return Side(image, loaded, time.perf_counter() - began, peak())


def _warm_up(request: ImageRequest, device: torch.device) -> list[ImageRequest]:
    """Return what prepares a GPU's kernels before the measured picture; of another prompt, since texts are kept."""
    return [] if device.type == "cpu" else [replace(request, id="warm-up", prompt=_WARM_UP)]


@contextlib.contextmanager
def _peak_memory(device: torch.device) -> Iterator[Callable[[], float]]:
    """Yield a function that returns the most bytes held since: on a CUDA device, else by this process as a whole."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: float(torch.cuda.max_memory_allocated(device))
        return
    process, ended = psutil.Process(), threading.Event()
    most = process.memory_info().rss

    def sample() -> None:
        nonlocal most
        while not ended.wait(_SAMPLE_SECONDS):
            most = max(most, process.memory_info().rss)

    thread = threading.Thread(target=sample, name="memory", daemon=True)
    thread.start()
    try:
        yield lambda: float(most)
    finally:
        ended.set()
        thread.join()


def _values(image: RawImage) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.frombuffer(image.data, np.uint8).astype(np.int16)


def _verdict(compared: Comparison) -> str:
    measured = (
        f"The values of the pixels differ by {compared.largest} of 255 at most, by {compared.mean:.4f} on average"
    )
    if compared.equal:
        return f"{measured}: the same picture. Up to {BOUND} comes from rounding."
    return (
        f"{measured}: NOT the same picture; rounding explains {BOUND}. Compare the two by eye, and report it with the "
        "lines below."
    )


def _save(compared: Comparison, out: Path) -> list[str]:
    """Save both pictures and the two side by side in the folder ``out``; return the names of the files."""
    ours, theirs = to_png(compared.engine.image.to_pil()), to_png(compared.diffusers.image.to_pil())
    pictures = {
        "engine.png": ours,
        "diffusers.png": theirs,
        "side-by-side.png": compare_sheet(ours, theirs, "engine", "diffusers"),
    }
    for name, data in pictures.items():
        save_picture(out / name, data)
    return list(pictures)


def _told(side: Side) -> str:
    return (
        f"loaded in {side.load_seconds:.1f} s, the picture in {side.seconds:.2f} s, "
        f"peak memory {side.peak_memory / GB:.1f} GB"
    )


def _machine(device: torch.device) -> str:
    if device.type != "cpu":
        return title_of(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def _versions() -> str:
    return f"torch {torch.__version__}, diffusers {version('diffusers')}, zimage-bot {version('zimage-bot')}"


def _weights_name(profile: ModelProfile, folder: Path) -> str:
    """Return the weights by hub id and commit, or by the folder's name: a report leaves out the path."""
    if not Path(profile.weights).is_dir():
        return f"{profile.weights} at {folder.name[:7]}"
    return "ships with the project" if folder == DEMO_WEIGHTS else f"folder {folder.name}"


def markdown(
    profile: ModelProfile, folder: Path, device: torch.device, plan: MemoryPlan, request: ImageRequest, it: Comparison
) -> str:
    """Return the comparison as a section of docs/verified.md."""
    size = f"{request.width} × {request.height}, {request.steps} steps, guidance {request.guidance_scale:g}"
    ours, theirs = it.engine, it.diffusers
    return "\n".join(
        (
            f"### {profile.title} ({_weights_name(profile, folder)}), {datetime.now(UTC):%Y-%m-%d}",
            "",
            f"{_machine(device)}; {plan}; {_versions()}.",
            "",
            f"| {size} | engine | `ZImagePipeline` |",
            "|---|---|---|",
            f"| loading | {ours.load_seconds:.1f} s | {theirs.load_seconds:.1f} s |",
            f"| one picture | {ours.seconds:.2f} s | {theirs.seconds:.2f} s |",
            f"| peak memory | {ours.peak_memory / GB:.1f} GB | {theirs.peak_memory / GB:.1f} GB |",
            "",
            f"Largest difference {it.largest} of 255, mean {it.mean:.4f}; seed {request.seed}.",
        )
    )
