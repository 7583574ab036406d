"""Backups of everything that lasts: the database and the pictures that it names, with a manifest. All functions block.

A backup is a folder: ``zimage.sqlite3``, ``images/``, ``sources/`` and ``manifest.json``. It can be made while the bot
runs: the database is copied by SQLite's backup interface, and the pictures are those that the copy names. They never
change, so where the file system allows it they are links to the same files.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from bot.errors import StartupError
from bot.store.backups import TIME_FORMAT, IsStopping, check_stop, copy_database, flush, never, seconds_of
from bot.store.faults import explained, not_backed_up
from bot.version import program_version

log = structlog.get_logger(__name__)

MANIFEST = "manifest.json"
DATABASE = "zimage.sqlite3"
FOLDERS = ("images", "sources")
_FORMAT = 1
_NAME = re.compile(r"zimage-backup-(?P<time>\d{8}T\d{6}Z)(?P<partial>\.partial)?")
_ASIDE = re.compile(r"zimage-before-restore-(?P<time>\d{8}T\d{6}Z)")
_MB = 1e6
_NAMES_TRIED = 5
_BLOCK = 4 * 2**20


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a backup: its size in bytes and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. ``made_at`` is in UTC seconds, before anything was copied.

    ``schema`` is the last migration of the database; ``files`` are by their paths inside the backup, with slashes.
    """

    program: str
    made_at: int
    schema: str
    store_id: str | None
    files: Mapping[str, StoredFile]

    @property
    def pictures(self) -> list[str]:
        """The paths of the pictures."""
        return [name for name in self.files if name != DATABASE]


def make_backup(data_dir: Path, folder: Path, *, keep: int = 0, is_stopping: IsStopping = never) -> Path:
    """Back up a data folder into a new folder inside ``folder``, which only this user may read. Returns its path.

    Then removes older backups of the same store, so that at most ``keep`` are left; none if that is 0. Raises
    :class:`StartupError` if the backup cannot be made, or if ``is_stopping`` returns True; nothing is left of it then.
    """
    with explained(data_dir / DATABASE):
        found = (data_dir / DATABASE).is_file()
    if not found:
        raise StartupError(f"There is no database in {data_dir}, so there is nothing to back up: check DATA_DIR.")
    partial_path: Path | None = None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial_path, now = _new_folder(folder)
        path = partial_path.with_suffix("")
        manifest = _fill(data_dir, partial_path, newest_backup(folder), now, is_stopping)
        partial_path.replace(path)
        flush(folder)
    except (OSError, sqlite3.Error) as error:
        if partial_path is not None:
            shutil.rmtree(partial_path, ignore_errors=True)
        raise StartupError(not_backed_up(data_dir / DATABASE, folder, error)) from error
    except BaseException:  # such as Ctrl-C
        if partial_path is not None:
            shutil.rmtree(partial_path, ignore_errors=True)
        raise
    size = sum(file.size for file in manifest.files.values())
    log.info("backup_made", folder=str(path), pictures=len(manifest.pictures), bytes=size)
    if keep:
        _keep(folder, keep, manifest.store_id)
    return path


def _new_folder(folder: Path) -> tuple[Path, int]:
    """Make the folder of a backup that is not complete. Returns its path and its time in UTC seconds.

    Waits for the next second where another process makes a backup, which has the same name.
    """
    for _ in range(_NAMES_TRIED):
        now = int(time.time())
        path = folder / f"zimage-backup-{datetime.fromtimestamp(now, UTC).strftime(TIME_FORMAT)}.partial"
        if not path.with_suffix("").exists():
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
                return path, now
        time.sleep(1 - time.time() % 1)
    raise FileExistsError(errno.EEXIST, "other backups are being made", str(folder))


def backups_in(folder: Path) -> list[Path]:
    """Return the complete backups in a folder, the newest first."""
    found = folder.iterdir() if folder.is_dir() else ()
    named = [path for path in found if (match := _NAME.fullmatch(path.name)) and not match["partial"]]
    return sorted(named, key=lambda path: path.name, reverse=True)


def newest_backup(folder: Path) -> Path | None:
    """Return the newest complete backup in a folder, None if there is none."""
    return next(iter(backups_in(folder)), None)


def made_at(path: Path) -> float:
    """Return when a backup was made by its name, in UTC seconds; infinity if that is no time."""
    match = _NAME.fullmatch(path.name) or _ASIDE.fullmatch(path.name)
    return float("inf") if match is None else seconds_of(match["time"])


def remove_old_full_backups(folder: Path, made_before: float) -> int:
    """Remove backups, and data that was replaced by one, from up to a time in UTC seconds. Returns the number."""
    old = [path for path in (folder.iterdir() if folder.is_dir() else ()) if made_at(path) <= made_before]
    for path in old:
        shutil.rmtree(path)
    return len(old)


def remove_unfinished(folder: Path, begun_before: float) -> None:
    """Remove what a crash has left of backups that were begun up to a time in UTC seconds."""
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match is not None and match["partial"] and seconds_of(match["time"]) <= begun_before:
            shutil.rmtree(path)


def read_manifest(backup: Path) -> Manifest:
    """Return a backup's manifest. Raises :class:`StartupError` if it has none that can be read."""
    try:
        found: dict[str, Any] = json.loads((backup / MANIFEST).read_text(encoding="utf-8"))
        files = {str(name): StoredFile(int(size), str(sha256)) for name, (size, sha256) in found["files"].items()}
        manifest = Manifest(found["program"], int(found["made_at"]), found["schema"], found["store_id"], files)
        known = found["format"] == _FORMAT and DATABASE in files and all(map(_is_ours, files))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        known, reason = False, f" ({error})"
    else:
        reason = "" if known else " (it names files that no backup has, or a newer zimage-bot made it)"
    if not known:
        raise StartupError(
            f"{backup} is not a backup that `zimage-bot backup` made, or its {MANIFEST} is damaged{reason}: "
            "name the folder of a backup."
        )
    return manifest


def is_intact(path: Path, expected: StoredFile) -> bool:
    """Return whether a file exists with this size and hash."""
    try:
        return path.stat().st_size == expected.size and _sha256(path) == expected.sha256
    except OSError:
        return False


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``, or where the file system has no links, a copy that is on disk."""
    try:
        os.link(source, target)
    except OSError:
        with (
            source.open("rb") as reader,
            os.fdopen(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as writer,
        ):
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            os.fsync(writer.fileno())


def named_pictures(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the paths of all pictures that a database names, relative to the data folder."""
    for (file,) in connection.execute("SELECT file FROM images WHERE file IS NOT NULL"):
        yield f"images/{file}"
    originals = connection.execute(
        "SELECT source FROM uploads UNION SELECT json_extract(spec, '$.source') FROM jobs WHERE forgotten_at IS NULL"
        " UNION SELECT json_extract(spec, '$.mask') FROM jobs WHERE forgotten_at IS NULL"
    )
    for (name,) in originals:
        if name:
            yield f"sources/{name}.png"


def _fill(data_dir: Path, target: Path, previous: Path | None, now: int, is_stopping: IsStopping) -> Manifest:
    """Copy everything into an empty folder and write the manifest. Pictures that are gone meanwhile are left out."""
    database = target / DATABASE
    size = (data_dir / DATABASE).stat().st_size
    if (free := shutil.disk_usage(target).free) < size:
        raise OSError(f"the database has {size / _MB:,.1f} MB, and {free / _MB:,.1f} MB are free")
    os.close(os.open(database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    copy_database(data_dir / DATABASE, database, is_stopping)
    flush(database)
    for name in FOLDERS:
        (target / name).mkdir(mode=0o700)
    known = _known_files(previous)
    files = {DATABASE: StoredFile(database.stat().st_size, _sha256(database, is_stopping))}
    with closing(sqlite3.connect(database)) as connection:
        for name in named_pictures(connection):
            check_stop(is_stopping)
            if (file := _add_picture(data_dir / name, target / name, previous, known.get(name))) is not None:
                files[name] = file
        schema = connection.execute("SELECT max(migration_id) FROM _yoyo_migration").fetchone()[0]
        stored = connection.execute("SELECT value FROM facts WHERE name = 'store_id'").fetchone()
    manifest = Manifest(program_version(), now, schema, stored[0] if stored else None, files)
    _write_manifest(target / MANIFEST, manifest)
    for path in (*(target / name for name in FOLDERS), target):
        flush(path)
    return manifest


def _add_picture(source: Path, target: Path, previous: Path | None, known: StoredFile | None) -> StoredFile | None:
    """Add one picture to a backup; the one of the previous backup where that has it. None if it does not exist."""
    try:
        size = source.stat().st_size
        earlier = None if previous is None or known is None else previous / target.parent.name / target.name
        if earlier is not None and known is not None and known.size == size and earlier.exists():
            link_or_copy(earlier, target)
            return known
        link_or_copy(source, target)
        return StoredFile(size, _sha256(target))
    except FileNotFoundError:
        return None


def _known_files(previous: Path | None) -> Mapping[str, StoredFile]:
    if previous is None:
        return {}
    try:
        return read_manifest(previous).files
    except StartupError:
        return {}


def _keep(folder: Path, keep: int, store_id: str | None) -> None:
    """Remove the oldest backups of a store, so that ``keep`` are left. What cannot be removed is logged."""
    left = 0
    for path in backups_in(folder):
        try:
            if read_manifest(path).store_id != store_id:
                continue
            left += 1
            if left > keep:
                shutil.rmtree(path)
        except (OSError, StartupError) as error:
            log.warning("backup_not_removed", folder=str(path), reason=str(error))


def _write_manifest(path: Path, manifest: Manifest) -> None:
    content = {
        "format": _FORMAT,
        "program": manifest.program,
        "made_at": manifest.made_at,
        "schema": manifest.schema,
        "store_id": manifest.store_id,
        "files": {name: [file.size, file.sha256] for name, file in manifest.files.items()},
    }
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=0)
        file.flush()
        os.fsync(file.fileno())


def _is_ours(name: str) -> bool:
    """Return whether a name in a manifest is one that a backup may have: others could lead out of the folder."""
    return name == DATABASE or re.fullmatch(r"(?:images|sources)/[0-9a-f]{12,32}\.png", name) is not None


def _sha256(path: Path, is_stopping: IsStopping = never) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            check_stop(is_stopping)
            digest.update(block)
    return digest.hexdigest()
