"""``zimage-bot doctor``: checks the machine and the settings; one line for each check, with what to do."""

from __future__ import annotations

import asyncio
import platform
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import aiohttp
import discord
from rich.console import Console
from rich.table import Table

from bot.errors import StartupError
from bot.services import named_profile
from bot.settings import Settings
from bot.store.database import unapplied
from zimage_engine.catalog import CPU_PROFILE
from zimage_engine.device.memory import GB, WIDTHS, part_sizes, plan_memory
from zimage_engine.device.nvidia import NvidiaState, find_nvidia, minimum_driver, what_to_fix
from zimage_engine.device.probe import DeviceReport, probe
from zimage_engine.hub import cache_folder
from zimage_engine.profiles import ModelProfile
from zimage_engine.types import EngineError
from zimage_engine.weights import cached_folder, complete_profile

FindDevices = Callable[[str], DeviceReport]
_DATA_DISK = 2 * GB
_WEIGHTS_DISK = 35 * GB


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``ok`` is True, False, or None for a note."""

    name: str
    ok: bool | None
    text: str


def examine(settings: Settings, console: Console | None = None) -> bool:
    """Print every finding. Returns True if there is nothing to fix."""
    console = console or Console()
    table = Table(box=None, show_header=False)
    sound = True
    for finding in findings(settings):
        mark = {True: "[green]ok[/]", False: "[red]fix[/]", None: "[yellow]note[/]"}[finding.ok]
        table.add_row(mark, finding.name, finding.text)
        sound = sound and finding.ok is not False
    console.print(table)
    return sound


def findings(settings: Settings) -> Iterator[Finding]:
    """Yield the finding of every check. Blocks; asks Discord if there is a token."""
    find_devices = cache(probe)
    checks: tuple[tuple[str, Callable[[], Iterable[Finding]]], ...] = (
        ("python", lambda: [_python()]),
        ("device", lambda: _device(settings, find_devices(settings.device))),
        ("weights", lambda: _model(settings, find_devices)),
        ("data", lambda: [_data(settings)]),
        ("database", lambda: [_database(settings)]),
        ("token", lambda: [_token(settings)]),
        ("owner", lambda: _owner(settings)),
    )
    for name, check in checks:
        try:
            yield from check()
        except (EngineError, StartupError) as error:
            yield Finding(name, ok=False, text=str(error))


def _owner(settings: Settings) -> Iterator[Finding]:
    """Check that both settings of /owner are set, or none."""
    if bool(settings.bot_owner_ids) != (settings.owner_guild_id is not None):
        missing = "OWNER_GUILD_ID" if settings.bot_owner_ids else "BOT_OWNER_IDS"
        yield Finding("owner", ok=False, text=f"/owner is offered to nobody: set {missing}, too.")


def _python() -> Finding:
    return Finding(
        "python",
        ok=True,
        text=f"{platform.python_version()}, torch {version('torch')}, discord.py {discord.__version__}",
    )


def _device(settings: Settings, report: DeviceReport) -> Iterator[Finding]:
    """Check the chosen device, and where torch finds no GPU, what keeps it from an NVIDIA card."""
    device = report.chosen
    if report.hip is None and settings.device != "cpu" and (nvidia := find_nvidia()).card:
        yield _driver(report, nvidia)
    if device.kind == "cuda":
        build = f"ROCm {report.hip}" if report.hip else f"CUDA {report.cuda}"
        text = f"{device.title}, {device.memory_free / GB:.1f} of {device.memory_total / GB:.1f} GB free, {build}"
        if device.bfloat16:
            yield Finding("device", ok=True, text=f"{text}, bfloat16")
        else:
            yield Finding("device", ok=False, text=f"{text}: no bfloat16, set DTYPE=float32 or use a newer GPU.")
    elif device.kind == "mps":
        yield Finding("device", ok=True, text=device.title)
    else:
        why = f"the CPU, as DEVICE={settings.device} says" if settings.device != "auto" else "CPU only"
        text = f"{why}: fine for PROFILE={CPU_PROFILE}, minutes a picture for the others."
        yield Finding("device", ok=None, text=text)


def _driver(report: DeviceReport, nvidia: NvidiaState) -> Finding:
    """Check that torch's build and NVIDIA's driver fit."""
    used = any(device.kind == "cuda" for device in report.devices)
    fault = what_to_fix(nvidia, report.torch, report.cuda, used=used)
    if fault is not None:
        return Finding("driver", ok=False, text=fault)
    needed = minimum_driver(report.cuda or "")
    enough = f", which needs {needed} or newer" if needed else ""
    return Finding("driver", ok=True, text=f"NVIDIA {nvidia.driver}; torch's build is for CUDA {report.cuda}{enough}.")


def _model(settings: Settings, find_devices: FindDevices) -> Iterator[Finding]:
    """Check the weights, the memory for them, and the disk for what is still to be downloaded."""
    profile = named_profile(settings, find_devices)
    folder, fault = cached_folder(profile), _fault_of(profile)
    if fault is not None:
        yield Finding("weights", ok=False, text=fault)
    elif folder is None:
        text = f"{profile.title} is not here yet: `zimage-bot download` fetches it, else the first start does."
        yield Finding("weights", ok=None, text=text)
    else:
        yield Finding("weights", ok=True, text=f"{profile.title} in {folder}")
        yield _memory(settings, folder, find_devices(settings.device))
    yield _disk(settings.data_dir, _DATA_DISK)
    if folder is None:
        yield _disk(cache_folder(), _WEIGHTS_DISK)


def _fault_of(profile: ModelProfile) -> str | None:
    """Return what is wrong with the model's config files, which may be on the hub; None if nothing is."""
    try:
        complete_profile(profile)
    except EngineError as error:
        return str(error)
    return None


def _memory(settings: Settings, folder: Path, report: DeviceReport) -> Finding:
    device, width = report.chosen, WIDTHS[settings.dtype]
    try:
        plan = plan_memory(part_sizes(folder), device.kind, device.memory_free, report.host_memory_free, width)
    except EngineError as error:
        return Finding("memory", ok=False, text=str(error))
    return Finding("memory", ok=True, text=str(plan))


def _disk(folder: Path, needed: int) -> Finding:
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / GB:.0f} GB free on {place}"
    if free < needed:
        return Finding("disk", ok=False, text=f"{text}; the bot needs {needed / GB:.0f} GB: make room there.")
    return Finding("disk", ok=True, text=text)


def _data(settings: Settings) -> Finding:
    folder = settings.data_dir
    if not folder.exists():
        return Finding("data", ok=True, text=f"{folder} will be made.")
    probe = folder / ".doctor"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        return Finding(
            "data", ok=False, text=f"{folder} cannot be written ({error.strerror}): give the bot's user the right."
        )
    return Finding("data", ok=True, text=f"{folder} can be written.")


def _database(settings: Settings) -> Finding:
    path: Path = settings.database_path
    if not path.exists():
        return Finding("database", ok=True, text=f"{path} will be made.")
    try:
        missing = unapplied(path)
    except sqlite3.Error as error:
        return Finding("database", ok=False, text=f"{path} cannot be read ({error}): restore a backup.")
    if missing:
        return Finding("database", ok=None, text=f"{', '.join(missing)} will be applied at the next start.")
    return Finding("database", ok=True, text=f"{path} is up to date.")


def _token(settings: Settings) -> Finding:
    if settings.discord_token is None:
        return Finding("token", ok=False, text="DISCORD_TOKEN is not set: `zimage-bot run` needs it.")
    return asyncio.run(_ask_discord(settings.discord_token.get_secret_value()))


async def _ask_discord(token: str) -> Finding:
    """Log in without connecting to the gateway, and read the intents that the portal grants."""
    client = discord.Client(intents=discord.Intents.none())
    try:
        await client.login(token)
        application = await client.application_info()
    except discord.LoginFailure:
        return Finding("token", ok=False, text="Discord does not accept it: copy it again from the developer portal.")
    except (discord.HTTPException, aiohttp.ClientError) as error:
        return Finding("token", ok=False, text=f"Discord cannot be asked ({type(error).__name__}): check the network.")
    finally:
        await client.close()
    content = application.flags.gateway_message_content or application.flags.gateway_message_content_limited
    text = (
        f"accepted: {application.name}; message content intent {'granted' if content else 'not granted, not needed'}."
    )
    return Finding("token", ok=True, text=text)
