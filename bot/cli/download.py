"""``zimage-bot download``: a model's weights from the Hugging Face Hub, with their size first and a progress bar."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from bot.configured_models import named_profiles
from bot.errors import StartupError
from bot.settings import Settings
from zimage_engine.catalog import DEMO_WEIGHTS, GPU_PROFILE
from zimage_engine.device.memory import GB
from zimage_engine.hub import PARTIAL, HubFile, cache_folder, download_files, list_files, remove_partial_files
from zimage_engine.profiles import ModelProfile
from zimage_engine.types import ModelNotFound
from zimage_engine.weights import cached_folder, complete_profile

_MB = 10**6
_STOPPED = "Stopped. Run the command again to go on: files that are complete are kept."


def download(settings: Settings, console: Console | None = None) -> None:
    """Download the weights of each profile that the settings name, and say where they are.

    Raises :class:`ModelNotFound` for what the hub refuses, and :class:`StartupError` if the disk has too little room or
    the download is stopped by a signal.
    """
    console = console or Console(soft_wrap=True)
    for profile in named_profiles(settings):
        _download_one(profile, settings, console)


def _download_one(profile: ModelProfile, settings: Settings, console: Console) -> None:
    if (there := _already_here(profile, settings)) is not None:
        console.print(there)
        return
    files = list_files(profile.weights)
    complete_profile(profile)  # a few kB that say whether this is a model for the profile at all
    remove_partial_files(profile.weights)
    folder = cache_folder()
    missing = _bytes_of(file for file in files if not file.cached)
    console.print(_size_line(profile, files, missing))
    console.print(f"{_size(_free(folder))} are free on the disk of {folder}.")
    _check_room(missing, folder)
    console.print("Stop it with Ctrl-C whenever you like: started again it goes on with the files that are missing.")
    with _stoppable(console), _bar(console) as bar:
        task = bar.add_task(profile.title, total=missing)
        lock, most = threading.Lock(), 0

        def report(done: int, _begun: int) -> None:
            nonlocal most
            with lock:  # the hub counts what is received and what is written; the further one is shown
                most = max(most, done)
                bar.update(task, completed=min(most, missing))

        where = download_files(profile.weights, report)
        bar.update(task, completed=missing)
    if cached_folder(profile) is None:
        raise ModelNotFound(
            f"“{profile.weights}” has no safetensors files for each part of the model: name another model, or set "
            "MODEL to a folder with the weights in diffusers' layout."
        )
    console.print(f"{profile.title} is in {where}. `zimage-bot doctor` checks whether it fits this machine.")


def _already_here(profile: ModelProfile, settings: Settings) -> str | None:
    """Return the sentence that says why nothing is to be downloaded; None if something is."""
    if profile.weights == str(DEMO_WEIGHTS):
        chosen = (
            "PROFILE=auto chooses the demo model on this machine"
            if settings.profile == "auto" and not settings.profiles
            else profile.title
        )
        return (
            f"{chosen}: it ships with the project, so there is nothing to download. For the large model say "
            f"`zimage-bot download --profile {GPU_PROFILE}`."
        )
    folder = cached_folder(profile)
    if folder is None:
        return None
    complete_profile(profile)  # raises if these are the weights of another kind of model
    return f"{profile.title} is already in {folder}: there is nothing to download."


def _bytes_of(files: Iterator[HubFile]) -> int:
    return sum(file.bytes for file in files)


def _size_line(profile: ModelProfile, files: list[HubFile], missing: int) -> str:
    total = _bytes_of(iter(files))
    text = f"{profile.title} ({profile.weights}): {len(files)} files, {_size(total)}"
    return f"{text}." if missing == total else f"{text}, of which {_size(missing)} are still to be downloaded."


def _free(folder: Path) -> int:
    """Return the free bytes of the disk that the folder is on, or will be on."""
    absolute = folder.absolute()
    return shutil.disk_usage(next(path for path in (absolute, *absolute.parents) if path.exists())).free


def _check_room(missing: int, folder: Path) -> None:
    free = _free(folder)
    if missing > free:
        raise StartupError(
            f"The download takes {_size(missing)}, but the disk of {folder} has {_size(free)} free: make room there, "
            "or set HF_HOME to a folder on a larger disk."
        )


def _size(number: int) -> str:
    return f"{number / GB:.1f} GB" if number >= GB / 10 else f"{number / _MB:.1f} MB"


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


@contextlib.contextmanager
def _stoppable(console: Console) -> Iterator[None]:
    """End the process at once on SIGINT or SIGTERM, without the partial files that the hub cannot take up again.

    An exception would not do: the hub's library waits for its threads, each of which may have gigabytes to go. They run
    on meanwhile: a file that one of them begins in this moment stays, almost empty, until the next download.
    """

    def stop(number: int, _frame: object) -> None:
        for file in psutil.Process().open_files():
            if file.path.endswith(PARTIAL):
                Path(file.path).unlink(missing_ok=True)
        console.show_cursor()
        console.print(f"\n{_STOPPED}")
        os._exit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
