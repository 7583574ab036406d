"""Whether the pictures on disk are those of the database. Where they are not, they are set aside, never deleted.

The database may be new, an older copy, or on another disk than the one that was meant; deleting what it does not name
would then delete every picture. So both have the store's id, and each picture has a row from before it is written.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

import structlog

from bot.media.files import left_over, quarantine, quarantine_folder, take_back, write_file
from bot.store import facts, job_ids, privacy
from bot.store.database import Database

log = structlog.get_logger(__name__)

STORE_ID = "store_id"
"""The fact with the database's id."""
_MARK = ".store-id"
"""The file with the id of the database that a folder belongs to."""
_ADVICE = (
    "These pictures are of another database than the one that is open: if that is not the one you meant, stop the bot "
    "and put back the right one (a mount, or `zimage-bot restore`); the next start then takes the pictures back."
)


async def check_store(database: Database, folders: Sequence[Path]) -> int:
    """Set aside the pictures of another database, and mark the folders as this one's. Returns how many were set aside.

    ``folders`` are those of images and of originals. Pictures in their quarantines that this database names are taken
    back. Call it while no job is running: a picture whose row is about to be written would be taken for another's.
    """
    known = await facts.read_fact(database, STORE_ID)
    marks = [await asyncio.to_thread(_read_mark, folder) for folder in folders]
    own = known or secrets.token_hex(16)
    moved = 0
    if any(mark not in (None, own) for mark in marks):
        await database.write(job_ids.skip_ids)  # buttons under old messages name the other database's jobs
        moved = await set_aside(database, folders)
    if known is None:
        await facts.write_fact(database, STORE_ID, own)
    for folder, mark in zip(folders, marks, strict=True):
        if mark != own:
            await asyncio.to_thread(_write_mark, folder, own)
    if any(quarantine_folder(folder).is_dir() for folder in folders):
        kept = await _kept(database)
        back = [await asyncio.to_thread(take_back, folder, kept) for folder in folders]
        if any(back):
            log.info("pictures_taken_back", count=sum(back))
    return moved


async def set_aside(database: Database, folders: Sequence[Path], written_before: float = float("inf")) -> int:
    """Move the pictures that are not this database's into the folders' quarantines. Returns how many.

    ``written_before`` is in UTC seconds: younger files stay.
    """
    kept, moved = await _kept(database), 0
    for folder in folders:
        names = await asyncio.to_thread(left_over, folder, kept, written_before)
        foreign = await unknown(database, names)
        moved += await asyncio.to_thread(quarantine, folder, foreign) if foreign else 0
    if moved:
        where = ", ".join(str(quarantine_folder(folder)) for folder in folders)
        log.error("pictures_set_aside", count=moved, folders=where, advice=_ADVICE)
    return moved


async def unknown(database: Database, names: Collection[str]) -> list[str]:
    """Return those of the names of files that are whole pictures without any row, not even that of a deleted image."""
    pictures = [name for name in names if name.endswith(".png")]
    rows = await database.read(partial(privacy.with_row, ids=[name.removesuffix(".png") for name in pictures]))
    return [name for name in pictures if name.removesuffix(".png") not in rows]


async def _kept(database: Database) -> set[str]:
    originals = await privacy.kept_originals(database)
    return await privacy.kept_files(database) | {f"{name}.png" for name in originals}


def _read_mark(folder: Path) -> str | None:
    try:
        return (folder / _MARK).read_text(encoding="ascii", errors="replace").strip() or None
    except FileNotFoundError:
        return None


def _write_mark(folder: Path, own: str) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(folder / _MARK, f"{own}\n".encode())
