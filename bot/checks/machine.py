"""Checks of the program and of this machine's device."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec

import discord

from bot.checks.finding import Finding, Surroundings
from bot.configured_models import gpu_fault
from bot.plurals import counted
from bot.settings import Settings, unknown_names
from bot.version import program_version
from zimage_engine.catalog import CPU_PROFILE
from zimage_engine.cluster.config import LOCAL
from zimage_engine.cluster.link import RAY_MISSING, check_token
from zimage_engine.cluster.reaching import check_answer, find_cluster
from zimage_engine.device.memory import GB
from zimage_engine.device.nvidia import NvidiaState, minimum_driver
from zimage_engine.device.probe import Device, DeviceReport
from zimage_engine.places import parse_places


def check_program(around: Surroundings) -> Iterator[Finding]:
    """Name the versions, and the keys in .env that nobody reads."""
    del around
    text = f"zimage-bot {program_version()}, Python {platform.python_version()}"
    yield Finding("version", ok=True, text=f"{text}, torch {version('torch')}, discord.py {discord.__version__}")
    if unknown := unknown_names():
        yield Finding("settings", ok=None, text=f"{', '.join(unknown)} in .env: no setting of the bot, and ignored.")


def check_owner(around: Surroundings) -> Iterator[Finding]:
    """Check that both settings of /owner are set, or none."""
    settings = around.settings
    if bool(settings.bot_owner_ids) != (settings.owner_guild_id is not None):
        missing = "OWNER_GUILD_ID" if settings.bot_owner_ids else "BOT_OWNER_IDS"
        yield Finding("owner", ok=False, text=f"/owner is offered to nobody: set {missing}, too.")


def check_device(around: Surroundings) -> Iterator[Finding]:
    """Check the devices that are to be used, and where torch finds no GPU, what keeps it from an NVIDIA card."""
    settings = around.settings
    report = around.find_devices(settings.device)
    if report.hip is None and not settings.device.startswith("cpu") and (nvidia := around.find_gpu()).card:
        yield _driver(report, nvidia)
    used = (report.chosen, *report.others)
    for device in used:
        found = _device(settings, report, device)
        yield replace(found, text=f"{device.name}: {found.text}") if len(used) > 1 else found


def check_places(around: Surroundings) -> Iterator[Finding]:
    """Check that every device that DEVICE names is there, and that each model may run on one. Raises if not.

    A single device needs no look: the engine itself says what is wrong with it.
    """
    settings = around.settings
    several = settings.device == "all" or set(settings.device) & set(",*=")
    if settings.ray_address is not None or not several:
        return
    found = [device.name for device in around.find_devices(settings.device).devices]
    places = parse_places(settings.device, around.profiles(), found)
    shown = [f"{place.name} ({', '.join(place.models)})" for place in places]
    yield Finding("devices", ok=True, text=f"{counted(len(places), 'worker')}: {', '.join(shown)}")


def _device(settings: Settings, report: DeviceReport, device: Device) -> Finding:
    """Check one of the devices that are to be used."""
    if device.kind == "cuda":
        build = f"ROCm {report.hip}" if report.hip else f"CUDA {report.cuda}"
        text = f"{device.title}, {device.memory_free / GB:.1f} of {device.memory_total / GB:.1f} GB free, {build}"
        if device.bfloat16:
            return Finding("device", ok=True, text=f"{text}, bfloat16")
        return Finding("device", ok=False, text=f"{text}: no bfloat16, set DTYPE=float32 or use a newer GPU.")
    if device.kind == "mps":
        return Finding("device", ok=True, text=device.title)
    why = f"the CPU, as DEVICE={settings.device} says" if settings.device != "auto" else "CPU only"
    return Finding("device", ok=None, text=f"{why}: fine for PROFILE={CPU_PROFILE}, minutes a picture for the others.")


def check_cluster(around: Surroundings) -> Iterator[Finding]:
    """Check that Ray is installed and the cluster's token is here, if a cluster is used, and that it takes the token.

    Before a start the cluster is not asked: the bot waits for one that is away.
    """
    address = around.settings.ray_address
    if address is None:
        return
    if find_spec("ray") is None:
        yield Finding("cluster", ok=False, text=RAY_MISSING)
        return
    text = f"Ray {version('ray')}, RAY_ADDRESS={address}"
    if address == LOCAL:
        yield Finding("cluster", ok=True, text=text)
        return
    check_token()
    if around.hurried or around.offline:
        yield Finding("cluster", ok=True, text=f"{text}, which was not asked")
        return
    found = find_cluster(address)
    check_answer(found)
    yield Finding("cluster", ok=True, text=f"{text}: the cluster at {found} answers and takes the token")


def check_choice(around: Surroundings) -> Iterator[Finding]:
    """Check that PROFILE=auto does not take the CPU where there is a GPU. Raises :class:`EngineError` if it does."""
    settings, names = around.settings, ", ".join(profile.name for profile in around.profiles())
    setting = f"PROFILES={','.join(settings.profiles)}" if settings.profiles else f"PROFILE={settings.profile}"
    yield Finding("profile", ok=True, text=f"{names}, as {setting} says")


def _driver(report: DeviceReport, nvidia: NvidiaState) -> Finding:
    """Check that torch's build and NVIDIA's driver fit."""
    if (fault := gpu_fault(report, nvidia)) is not None:
        return Finding("driver", ok=False, text=fault)
    needed = minimum_driver(report.cuda or "")
    enough = f", which needs {needed} or newer" if needed else ""
    return Finding("driver", ok=True, text=f"NVIDIA {nvidia.driver}; torch's build is for CUDA {report.cuda}{enough}.")
