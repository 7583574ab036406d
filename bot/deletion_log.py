"""The log of deletions: what was deleted after a backup was made must not come back with it.

It lies beside the database, not in it, because restoring a backup replaces the database. Each day has a file of lines:
``<UTC seconds> member <id>``, ``<UTC seconds> file <name>`` or ``<UTC seconds> dropped <name>``. Names of files are
random and name nobody. All functions block.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import structlog

log = structlog.get_logger(__name__)

DAY = 24 * 60 * 60
_Kind = Literal["member", "file", "dropped"]
_FILE_NAME = re.compile(r"\d{4}-\d\d-\d\d\.log")
_LINE = re.compile(
    r"(?P<at>\d{1,12}) (?:member (?P<member>\d{1,20})|(?P<kind>file|dropped) (?P<file>[0-9a-f]{12,32}\.png))"
)


@dataclass(frozen=True, slots=True)
class Deletions:
    """What was deleted: ids of members who had their data deleted, and names of files.

    ``dropped`` are the files that were deleted for lack of room only; their pictures stay in Discord.
    """

    members: frozenset[int] = frozenset()
    files: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()


def join(logs: Iterable[Deletions]) -> Deletions:
    """Return what was deleted by any of several logs."""
    logs = list(logs)
    return Deletions(
        frozenset().union(*(log.members for log in logs)),
        frozenset().union(*(log.files for log in logs)),
        frozenset().union(*(log.dropped for log in logs)),
    )


def deletion_folder(data_dir: Path) -> Path:
    """Return the folder of the log."""
    return data_dir / "deletions"


def note_member(data_dir: Path, member_id: int) -> None:
    """Note that a member has their data deleted. Call it before the deletion."""
    _note(data_dir, "member", [str(member_id)])


def note_files(data_dir: Path, names: Iterable[str]) -> None:
    """Note that files of pictures are deleted."""
    _note(data_dir, "file", [name for name in names if name.endswith(".png")])


def note_dropped(data_dir: Path, names: Iterable[str]) -> None:
    """Note that files of pictures are deleted for lack of room."""
    _note(data_dir, "dropped", list(names))


def deletions_since(data_dir: Path, seconds: float) -> Deletions:
    """Return what was deleted from a time in UTC seconds on. A line that was not written to its end is left out."""
    members: set[int] = set()
    files: dict[str, set[str]] = {"file": set(), "dropped": set()}
    for path in _log_files(data_dir):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            found = _LINE.fullmatch(line)
            if found is None or int(found["at"]) < seconds:
                continue
            if found["member"]:
                members.add(int(found["member"]))
            else:
                files[found["kind"]].add(found["file"])
    return Deletions(frozenset(members), frozenset(files["file"]), frozenset(files["dropped"]))


def take_over(other: Path, data_dir: Path) -> None:
    """Copy the days of another data folder's log that this one's does not have."""
    for path in _log_files(other):
        target = deletion_folder(data_dir) / path.name
        if not target.exists():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial_path = target.with_suffix(".partial")
            shutil.copyfile(path, partial_path)
            partial_path.replace(target)


def drop_deletions(data_dir: Path, ended_by: float) -> int:
    """Remove the files of days that ended by a time in UTC seconds. Returns their number."""
    removed = 0
    for path in _log_files(data_dir):
        if _day_of(path) + DAY <= ended_by:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _note(data_dir: Path, kind: _Kind, names: Sequence[str]) -> None:
    """Append lines. A failure is logged only: a full disk must keep nothing from being deleted."""
    try:
        if names:
            _append(data_dir, kind, names)
    except OSError as error:
        log.warning("deletion_not_noted", count=len(names), reason=str(error))


def _append(data_dir: Path, kind: _Kind, names: Iterable[str]) -> None:
    """Append lines and wait until they are on disk. Several processes may append: a write at the end is one piece."""
    now = int(time.time())
    folder = deletion_folder(data_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d}.log"
    text = "".join(f"{now} {kind} {name}\n" for name in names)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def _log_files(data_dir: Path) -> Iterator[Path]:
    folder = deletion_folder(data_dir)
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if _FILE_NAME.fullmatch(path.name))


def _day_of(path: Path) -> float:
    """Return the begin of a file's day in UTC seconds; infinity if there is no such day."""
    try:
        return datetime.strptime(path.stem, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return float("inf")
