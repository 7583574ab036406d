"""Checks of the model: its weights, the memory for them, the attention kernel and the preview decoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bot.checks.finding import Finding, Surroundings
from bot.checks.storage import disk_finding
from zimage_engine.device.attention_check import attention_fault
from zimage_engine.device.memory import GB, WIDTHS, PartSizes, check_parts, part_sizes, plan_memory
from zimage_engine.hub import cache_folder
from zimage_engine.preview_files import preview_decoder_fault
from zimage_engine.profiles import ModelProfile
from zimage_engine.types import EngineError
from zimage_engine.weights import cached_folder, complete_profile

_WEIGHTS_DISK = 35 * GB


def check_weights(around: Surroundings) -> Iterator[Finding]:
    """Check the weights, and in full the memory for them and the disk for what is still to be downloaded.

    Of the weights the headers are read, which tell a file that ends too early.
    """
    missing = 0
    for profile in around.profiles():
        folder = cached_folder(profile)
        fault, sizes = _fault_of(profile, folder, around)
        if fault is not None:
            yield Finding("weights", ok=False, text=fault)
        elif folder is None:
            text = f"{profile.title} is not here yet: `zimage-bot download` fetches it, else the first start does."
            yield Finding("weights", ok=None, text=text)
        else:
            yield Finding("weights", ok=True, text=f"{profile.title} in {folder}")
            if sizes is not None and not around.hurried:
                yield _memory(around, sizes)
        missing += folder is None
    if missing and not around.hurried:
        yield disk_finding(cache_folder(), missing * _WEIGHTS_DISK)


def check_attention(around: Surroundings) -> Iterator[Finding]:
    """Try the attention kernel out, if it is not torch's own."""
    kernel = around.settings.attention
    if kernel == "auto" or around.settings.ray_address not in (None, "local"):  # the cluster's devices are elsewhere
        return
    if (fault := attention_fault(kernel, around.settings.device)) is not None:
        yield Finding("attention", ok=False, text=fault)
    else:
        yield Finding("attention", ok=True, text=f"{kernel} runs on this device.")


def check_previews(around: Surroundings) -> Iterator[Finding]:
    """Check that the preview decoder is here and fits the model."""
    decoder = around.settings.preview_decoder
    if decoder is None:
        return
    if (fault := preview_decoder_fault(decoder, cached_folder(around.profiles()[0]))) is not None:
        yield Finding("previews", ok=False, text=fault)
    else:
        yield Finding("previews", ok=True, text=f"{decoder} decodes them.")


def _fault_of(profile: ModelProfile, folder: Path | None, around: Surroundings) -> tuple[str | None, PartSizes | None]:
    """Return what is wrong with the model's files, or None, and the sizes of its parts if it is here and sound.

    Where the hub may not be asked, files that are not here are not looked at.
    """
    if folder is None and (around.offline or around.hurried):
        return None, None
    try:
        # The folder of the cache: the hub would be asked whether its files are the newest.
        complete_profile(profile if folder is None else replace(profile, weights=str(folder)))
        if folder is None:
            return None, None
        check_parts(folder)
        return None, part_sizes(folder)
    except EngineError as error:
        return str(error), None


def _memory(around: Surroundings, sizes: PartSizes) -> Finding:
    settings, report = around.settings, around.find_devices(around.settings.device)
    device, width = report.chosen, WIDTHS[settings.dtype]
    try:
        plan = plan_memory(sizes, device.kind, device.memory_free, report.host_memory_free, width)
    except EngineError as error:
        return Finding("memory", ok=False, text=str(error))
    return Finding("memory", ok=True, text=str(plan))
