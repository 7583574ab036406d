"""Puts a backup in the place of a data folder's database and pictures. Call it while no bot uses the folder.

What was deleted since the backup was made is deleted again, by the log of deletions beside the database. Jobs that were
open then go on at the next start; a result that may have been posted meanwhile is looked for before it is posted.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from bot.deletion_log import Deletions, deletion_folder, deletions_since, join, take_over
from bot.errors import StartupError
from bot.store import images, job_ids, privacy, recovery
from bot.store.backups import TIME_FORMAT, copy_database, flush
from bot.store.database import Database, unapplied
from bot.store.disk_bounds import drop_files
from bot.store.full_backups import (
    DATABASE,
    FOLDERS,
    Manifest,
    is_intact,
    link_or_copy,
    named_pictures,
    read_manifest,
)
from bot.store.job_states import IS_OPEN, IS_UNDELIVERED, OPEN_JOBS

log = structlog.get_logger(__name__)

_BATCH = 500
_CLOCK_SECONDS = 60
"""Deletions from so long before the backup are repeated, too: the clock may have been set."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restored backup came to.

    ``jobs`` is the number of jobs in it, ``pictures`` of the pictures that were put in place, ``damaged`` of those that
    are missing in the backup or damaged. ``members`` and ``deleted`` are the deletions that were repeated: of members'
    data, and of pictures; ``knows_deletions`` is False if the data folder is a new one and no log of them was found.
    ``aside`` is the folder with the database that was there before, None if there was none.
    """

    made_at: int
    jobs: int
    pictures: int
    damaged: int
    members: int
    deleted: int
    knows_deletions: bool
    aside: Path | None


def restore(backup: Path, data_dir: Path) -> Restored:
    """Put a backup in the place of the data. Blocks. Raises :class:`StartupError` if it cannot be; nothing is changed.

    The database that was there is kept as a copy in ``backups``. Pictures that the backup does not name stay, and are
    set aside when the bot starts.
    """
    manifest = read_manifest(backup)
    if not is_intact(backup / DATABASE, manifest.files[DATABASE]):
        raise StartupError(f"The database of {backup} is damaged: restore another backup.")
    staging = staging_folder(data_dir)
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        staged = staging / DATABASE
        _stage(backup, staged)
        log_folders = _with_deletions(backup, data_dir)
        deletions = join(deletions_since(folder, manifest.made_at - _CLOCK_SECONDS) for folder in log_folders)
        jobs, deleted, wanted = asyncio.run(_prepare(staged, deletions, _highest_job(data_dir / DATABASE)))
        placed, damaged = _place_pictures(backup, manifest, data_dir, wanted)
        aside = _replace_database(staged, data_dir)
        for folder in log_folders:
            take_over(folder, data_dir)
    except (OSError, sqlite3.Error) as error:
        raise StartupError(f"{backup} could not be restored to {data_dir} ({error}); no data was removed.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    known = bool(log_folders) or aside is not None
    restored = Restored(manifest.made_at, jobs, placed, damaged, len(deletions.members), deleted, known, aside)
    log.info("backup_restored", folder=str(backup), jobs=jobs, pictures=placed, damaged=damaged)
    return restored


def _with_deletions(backup: Path, data_dir: Path) -> list[Path]:
    """Return the data folders whose log of deletions counts.

    Backups lie in the folder ``backups`` of their own data folder, unless BACKUP_DIR names another one.
    """
    beside = backup.absolute().parent
    folders = dict.fromkeys([data_dir.absolute(), beside.parent, beside])
    return [folder for folder in folders if deletion_folder(folder).is_dir()]


def staging_folder(data_dir: Path) -> Path:
    """Return the folder where a database is prepared; a restore that was killed leaves it, with all that was in it."""
    return data_dir / "restore.partial"


def _stage(backup: Path, staged: Path) -> None:
    """Copy the backup's database and check the copy. Raises :class:`StartupError`, :class:`sqlite3.Error`."""
    os.close(os.open(staged, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    plain = staged.with_name("copied")
    shutil.copyfile(backup / DATABASE, plain)
    copy_database(plain, staged)
    plain.unlink()
    try:
        unapplied(staged)
    except StartupError as error:
        raise StartupError(str(error).replace(str(staged), str(backup / DATABASE))) from error


async def _prepare(staged: Path, deletions: Deletions, highest_job: int) -> tuple[int, int, set[str]]:
    """Migrate the staged database, repeat deletions in it and make its open jobs look before they post.

    Returns the number of jobs, the number of pictures that were deleted again, and the paths of those it still names.
    """
    database = await Database.open(staged)
    try:
        for member_id in deletions.members:
            await _forget_member(database, member_id)
        deleted = await database.write(partial(_delete_images, files=deletions.files))
        dropped = [name.removesuffix(".png") for name in deletions.dropped]
        await database.write(partial(drop_files, image_ids=dropped))
        await database.write(partial(job_ids.skip_ids, other_highest=highest_job))
        await database.write(_look_before_posting)
        wanted = await database.read(lambda connection: set(named_pictures(connection)))
        rows = await database.query("SELECT count(*) AS number FROM jobs")
    finally:
        await database.close()
    with closing(sqlite3.connect(staged)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
    flush(staged)
    return rows[0]["number"], deleted, wanted


async def _forget_member(database: Database, member_id: int) -> None:
    now = int(time.time())
    await database.write(partial(privacy.forget_member, member_id=member_id, now=now, at_most=_BATCH))
    await database.write(partial(recovery.end_forgotten, now=now))
    count = _BATCH
    while count == _BATCH:
        forget = partial(privacy.forget_closed, member_id=member_id, now=now, live=(), at_most=_BATCH)
        count = (await database.write(forget)).jobs


def _delete_images(connection: sqlite3.Connection, files: frozenset[str]) -> int:
    """Mark images whose files were deleted, unless their jobs are being generated. Returns how many."""
    deleted = 0
    for file in sorted(files):
        row = connection.execute(
            "SELECT images.id FROM images JOIN jobs ON jobs.id = images.job_id"
            " WHERE images.id = ? AND images.file = ? AND jobs.state NOT IN ('queued', 'running')",
            (file.removesuffix(".png"), file),
        ).fetchone()
        if row is not None:
            images.delete(connection, row["id"])
            deleted += 1
    return deleted


def _look_before_posting(connection: sqlite3.Connection) -> None:
    """Have each open job look for its result before it posts it, and give it a new day to do so."""
    connection.execute(f"UPDATE {OPEN_JOBS} SET delivery_attempts = max(1, delivery_attempts) WHERE {IS_OPEN}")
    connection.execute(
        f"UPDATE {OPEN_JOBS} SET rendered_at = ? WHERE {IS_OPEN} AND {IS_UNDELIVERED}", (int(time.time()),)
    )


def _place_pictures(backup: Path, manifest: Manifest, data_dir: Path, wanted: set[str]) -> tuple[int, int]:
    """Put the wanted pictures in place where they are not there. Returns how many, and how many are damaged."""
    placed = damaged = 0
    for folder in FOLDERS:
        (data_dir / folder).mkdir(mode=0o700, exist_ok=True)
    for name in manifest.pictures:
        source, target, expected = backup / name, data_dir / name, manifest.files[name]
        if name not in wanted or is_intact(target, expected):
            continue
        if not is_intact(source, expected):
            damaged += 1
            log.warning("picture_of_backup_damaged", file=name)
            continue
        partial_path = target.with_suffix(".partial")  # a name that housekeeping removes after a crash
        partial_path.unlink(missing_ok=True)
        link_or_copy(source, partial_path)
        partial_path.replace(target)
        placed += 1
    for folder in FOLDERS:
        flush(data_dir / folder)
    return placed, damaged


def _replace_database(staged: Path, data_dir: Path) -> Path | None:
    """Put the staged database in place of the old one, which is moved into a folder of its own in ``backups``.

    The old one's write-ahead log goes with it: beside another database SQLite would take its rows for that one's.
    Returns the folder, None if there was no database.
    """
    database = data_dir / DATABASE
    logs = [path for suffix in ("wal", "shm", "journal") if (path := data_dir / f"{DATABASE}-{suffix}").exists()]
    aside = None
    if database.exists() or logs:
        made = datetime.fromtimestamp(time.time(), UTC).strftime(TIME_FORMAT)
        aside = data_dir / "backups" / f"zimage-before-restore-{made}"
        aside.mkdir(mode=0o700, parents=True)
        if database.exists():
            link_or_copy(database, aside / DATABASE)  # the name is never without a database
        for path in logs:
            path.replace(aside / path.name)
        flush(aside)
    staged.replace(database)
    flush(data_dir)
    return aside


def _highest_job(database: Path) -> int:
    """Return the highest id of a job in the database that is replaced, as far as it can be read; else 0."""
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True)) as connection,
    ):
        return int(connection.execute("SELECT coalesce(max(id), 0) FROM jobs").fetchone()[0])
    return 0
