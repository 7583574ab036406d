"""Checks of the model: its weights, the memory for them, the attention kernel and the preview decoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bot.checks.finding import Finding, Surroundings
from bot.checks.storage import disk_finding
from zimage_engine.cluster.config import LOCAL, ClusterConfig, RayNodeInfo, seats_of
from zimage_engine.cluster.link import LOOPBACK
from zimage_engine.device.attention_check import attention_fault
from zimage_engine.device.memory import GB, WIDTHS, Placement, check_parts, part_sizes
from zimage_engine.device.model_files import ModelFolders
from zimage_engine.device.model_memory import ModelsPlan, model_plans_at
from zimage_engine.device.probe import DeviceReport
from zimage_engine.hub import cache_folder
from zimage_engine.places import DevicePlace, parse_places, share_memory
from zimage_engine.preview_files import preview_decoder_fault
from zimage_engine.profiles import ModelProfile
from zimage_engine.types import EngineError
from zimage_engine.weights import cached_folder, complete_profile

_WEIGHTS_DISK = 35 * GB


def check_weights(around: Surroundings) -> Iterator[Finding]:
    """Check the weights, and in full the memory for them and the disk for what is still to be downloaded.

    Of the weights the headers are read, which tell a file that ends too early.
    """
    missing, folders = 0, {}
    for profile in around.profiles():
        folder = cached_folder(profile)
        fault = _fault_of(profile, folder, around)
        if fault is not None:
            yield Finding("weights", ok=False, text=fault)
        elif folder is None:
            text = f"{profile.title} is not here yet: `zimage-bot download` fetches it, else the first start does."
            yield Finding("weights", ok=None, text=text)
        else:
            yield Finding("weights", ok=True, text=f"{profile.title} in {folder}")
            folders[profile.name] = folder
        missing += folder is None
    if folders and not around.hurried:
        yield from _memory(around, folders)
    if missing and not around.hurried:
        yield disk_finding(cache_folder(), missing * _WEIGHTS_DISK)


def check_attention(around: Surroundings) -> Iterator[Finding]:
    """Try the attention kernel out, if it is not torch's own."""
    kernel = around.settings.attention
    if kernel == "auto" or around.settings.ray_address not in (None, LOCAL):  # the cluster's devices are elsewhere
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


def _fault_of(profile: ModelProfile, folder: Path | None, around: Surroundings) -> str | None:
    """Return what is wrong with the model's files; None if they are sound, or not here.

    Where the hub may not be asked, files that are not here are not looked at.
    """
    if folder is None and (around.offline or around.hurried):
        return None
    try:
        # The folder of the cache: the hub would be asked whether its files are the newest.
        complete_profile(profile if folder is None else replace(profile, weights=str(folder)))
        if folder is not None:
            check_parts(folder)
            part_sizes(folder)
    except EngineError as error:
        return str(error)
    return None


def _memory(around: Surroundings, folders: Mapping[str, Path]) -> Iterator[Finding]:
    """Plan the memory of each device for those of its models that are here."""
    settings, report = around.settings, around.find_devices(around.settings.device)
    try:
        places = _places(around, report)
    except EngineError:
        return  # the check of the devices says it
    devices = {device.name: device for device in (*report.devices, *report.others, report.chosen)}
    several = len({place.device for place in places}) > 1
    look = ModelFolders(settings.engine_cache_dir).look
    files = {name: look(folder) for name, folder in folders.items()}
    plans: dict[tuple[str, frozenset[str]], Finding] = {}
    for place in places:
        device = devices.get(place.device, report.chosen)
        models = [name for name in files if name in place.models]
        key = device.name, frozenset(models)
        if not models or key in plans:
            continue
        where = f"{device.name}: " if several else ""
        try:
            plan = model_plans_at(
                place,
                [(files[name].sizes, files[name].sizes_by_files) for name in models],
                device.kind,
                device.memory_free if device.kind == "cuda" else None,
                report.host_memory_free,
                WIDTHS[settings.dtype],
            )[0]
        except EngineError as error:
            plans[key] = Finding("memory", ok=False, text=f"{where}{error}")
        else:
            plans[key] = Finding("memory", ok=True, text=where + _described(plan, models, place))
    yield from plans.values()


def _places(around: Surroundings, report: DeviceReport) -> Sequence[DevicePlace]:
    """Return the places of the workers that the bot starts here, each with its part of the memory.

    There are none if RAY_ADDRESS names a cluster, which has its own workers.

    Raises :class:`EngineError` if DEVICE names what is not there.
    """
    settings, profiles = around.settings, around.profiles()
    gpus = {device.name: device.memory_free for device in report.devices if device.kind == "cuda"}
    if settings.ray_address is None:
        places = parse_places(settings.device, profiles, [device.name for device in report.devices])
        return share_memory(places, report.host_memory_free, gpus)
    if settings.ray_address != LOCAL:
        return ()
    node = RayNodeInfo("", LOOPBACK, "", gpus=len(gpus), cpus=1, memory=report.host_memory_free)
    workers = None if settings.workers == "auto" else settings.workers
    seats = seats_of(node, ClusterConfig(LOCAL, workers), [profile.name for profile in profiles])
    names = iter(gpus)  # Ray shows each worker one GPU alone, as "cuda"
    return [place if place.device == "cpu" else replace(place, device=next(names)) for place, _ in seats]


def _described(plan: ModelsPlan, models: Sequence[str], place: DevicePlace) -> str:
    """Return a plan for these models at a place, for people."""
    text = str(plan)
    if len(models) > 1:
        text += f"; {', '.join(models)}: {'together, as far as they fit' if plan.room else 'one at a time'}"
    if place.share > 1:
        text += f"; {place.share} workers, each with its share of the memory"
    if place.host_memory and not (place.device.startswith("cuda") and plan.memory.placement is Placement.RESIDENT):
        text += f"; at most {place.host_memory / GB:.1f} GB of the machine's"
    return text
