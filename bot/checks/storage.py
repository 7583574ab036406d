"""Checks of the data folder: may it be written, is there room, is another bot running, is the database sound."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bot.checks.finding import Finding, Surroundings
from bot.errors import ExitStatus
from bot.store.data_lock import in_use, is_in_use
from bot.store.database import unapplied
from bot.store.faults import damage_of, damaged, explained
from zimage_engine.device.memory import GB

_DATA_DISK = 2 * GB
_DATA_DISK_LEAST = GB // 5
"""With less the bot does not start; ``doctor`` asks for more."""

_HURRIED_SECONDS = 3.0


def check_folders(around: Surroundings) -> Iterator[Finding]:
    """Check that the data folder, the cache and the folder of backups can be written or made."""
    settings = around.settings
    folders = [("data", settings.data_dir)]
    if settings.cache_dir is not None:  # else it is inside the data folder
        folders.append(("cache", settings.engine_cache_dir))
    daily = settings.backup_keep > 0 and settings.backup_days > 0
    if daily or (settings.backup_dir is not None and not around.hurried):
        folders.append(("backup", settings.full_backup_dir))
    for name, folder in folders:
        existing = existing_part(folder)
        try:
            with tempfile.TemporaryDirectory(prefix=".zimage-check-", dir=existing):
                pass
        except OSError as error:
            yield Finding(
                name,
                ok=False,
                text=f"{folder} cannot be used, {existing} cannot be written ({error.strerror}): give the bot's user "
                f"the right to write there, or set another {name.upper()}_DIR.",
            )
        else:
            yield Finding(name, ok=True, text=f"{folder} {'can be written' if existing == folder else 'will be made'}.")


def check_disk(around: Surroundings) -> Iterator[Finding]:
    """Check the room for pictures and the database."""
    yield disk_finding(around.settings.data_dir, _DATA_DISK_LEAST if around.hurried else _DATA_DISK)


def check_lock(around: Surroundings) -> Iterator[Finding]:
    """Check that no other bot uses the data folder."""
    folder = around.settings.data_dir
    if is_in_use(folder):
        yield Finding("lock", ok=False, text=in_use(folder), status=ExitStatus.TEMPORARY)


def check_database(around: Surroundings) -> Iterator[Finding]:
    """Check that the database is no newer than the program, has all migrations, and has no damaged pages."""
    path: Path = around.settings.database_path
    if not path.exists():
        yield Finding("database", ok=True, text=f"{path} will be made.")
        return
    # A large database takes minutes to read; before the bot connects only some seconds are given to it.
    until = time.monotonic() + _HURRIED_SECONDS if around.hurried else None
    with explained(path):
        damage = damage_of(path, until)
        missing = unapplied(path) if damage is None else []
    if damage is not None:
        yield Finding("database", ok=False, text=damaged(path, damage))
    elif missing and not around.hurried:
        text = f"{', '.join(missing)} must still be applied: `zimage-bot migrate` does it, and so does the next start."
        yield Finding("database", ok=False, text=text)
    else:
        yield Finding("database", ok=True, text=f"{path} is up to date and sound.")


def disk_finding(folder: Path, needed: int) -> Finding:
    """Return whether the disk of a folder, which need not exist, has this many bytes free."""
    place = existing_part(folder)
    free = shutil.disk_usage(place).free
    text = f"{free / GB:.0f} GB free on {place}"
    if free < needed:
        return Finding("disk", ok=False, text=f"{text}; the bot needs {needed / GB:g} GB: make room there.")
    return Finding("disk", ok=True, text=text)


def existing_part(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    absolute = folder.absolute()
    return next(path for path in (folder, *absolute.parents) if path.exists())
