"""``zimage-bot bench``: a table of what each unit costs on this machine."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from rich.console import Console
from rich.table import Table

from bot.configured_models import choose_profiles
from bot.errors import StartupError, WrongUsage
from bot.settings import Settings
from zimage_engine.catalog import GPU_PROFILE, either, find_profile, random_weight_profiles
from zimage_engine.device.acceleration import Acceleration
from zimage_engine.device.devices import pick_device
from zimage_engine.device.loading import load_components, plan_for
from zimage_engine.device.memory import GB, Placement
from zimage_engine.device.unit_benchmark import (
    LoadedParts,
    Measurement,
    ModelParts,
    RandomParts,
    benchmark_units,
    peak_memory,
)
from zimage_engine.profiles import ModelProfile, Size, parse_size
from zimage_engine.weights import weights_folder

_STEPS = 8
_TERA = 1e12


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """The command's options. ``weights`` is ``random``, which needs no download, or ``own``, the profile's."""

    weights: str = "random"
    profile: str | None = None
    sizes: list[str] = field(default_factory=list)
    batches: list[int] = field(default_factory=lambda: [1])
    dtype: str = "bfloat16"
    acceleration: Acceleration = field(default_factory=Acceleration)


def bench(settings: Settings, options: BenchOptions) -> None:
    """Print the seconds, tokens and FLOP a second of each unit, and the seconds of one image.

    Raises :class:`StartupError` for options that do not fit together.
    """
    if options.dtype not in ("bfloat16", "float32"):
        raise WrongUsage(f"There is no data type “{options.dtype}” here: use bfloat16 or float32.")
    if min(options.batches) < 1:
        raise WrongUsage("A batch holds at least one picture: give --batch 1 or more.")
    for profile in _profiles(settings, options):
        _bench_one(settings, options, profile)


def _profiles(settings: Settings, options: BenchOptions) -> tuple[ModelProfile, ...]:
    """Return the models to measure: those of the settings, or the one that random weights stand for."""
    match options.weights:
        case "random":
            profile = find_profile(options.profile or GPU_PROFILE)
            if not profile.random_weights:
                names = either(random_weight_profiles())
                raise WrongUsage(f"Random weights stand for {names}: for {profile.name} say --weights own.")
            return (profile,)
        case "own":
            return choose_profiles(settings)
    raise WrongUsage(f"There are no weights “{options.weights}”: say random or own.")


def _bench_one(settings: Settings, options: BenchOptions, profile: ModelProfile) -> None:
    device, dtype = pick_device(settings.device), getattr(torch, options.dtype)
    parts = _load_parts(options, profile, device, dtype)
    sizes = [parse_size(text) for text in options.sizes] or [_default_size(profile, device)]
    console = Console()
    how = ", ".join(filter(None, (options.dtype, str(options.acceleration), _device_name(device))))
    table = Table(title=f"{profile.title}, {options.weights} weights, {how}")
    for heading in ("unit", "seconds", "tokens/s", "TFLOP", "TFLOP/s", "of measured peak"):
        table.add_column(heading, justify="left" if heading == "unit" else "right")
    measured: dict[str, Measurement] = {}
    with console.status("building and measuring (minutes on a CPU) …"):
        for each in benchmark_units(parts, device, dtype, sizes, options.batches, options.acceleration):
            measured[each.unit] = each
            table.add_row(*_row(each))
    console.print(table)
    encode = next(iter(measured.values())).seconds
    for size in sizes if 1 in options.batches else []:
        total = encode + _STEPS * measured[f"step {size}"].seconds + measured[f"decode {size}"].seconds
        console.print(f"one image {size}, {_STEPS} steps: {total:.3g} s")
    console.print(f"peak memory: {peak_memory(device) / GB:.1f} GB")


def _load_parts(options: BenchOptions, profile: ModelProfile, device: torch.device, dtype: torch.dtype) -> ModelParts:
    if options.weights == "random":
        return RandomParts(device, dtype)
    folder = weights_folder(profile)
    plan = plan_for(folder, device, options.dtype)
    if plan.placement is not Placement.RESIDENT:
        raise StartupError(f"{profile.title} does not fit as a whole ({plan}): say --weights random.")
    return LoadedParts(load_components(folder, device, plan))


def _default_size(profile: ModelProfile, device: torch.device) -> Size:
    """Return the base size on a GPU; on a CPU that would take minutes a step, so 256x256."""
    return profile.base_size if device.type != "cpu" else Size(256, 256)


def _row(each: Measurement) -> tuple[str, ...]:
    pace = f"{each.tokens / each.seconds:.0f}" if each.tokens else ""
    rate = each.flop / each.seconds / _TERA
    return (each.unit, f"{each.seconds:.3g}", pace, f"{each.flop / _TERA:.2f}", f"{rate:.2f}", f"{each.peak_share:.0%}")


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"
