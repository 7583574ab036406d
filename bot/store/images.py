"""Images and uploads: finds them by id, message or family. Functions that write are part of a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from bot.store.database import Database
from bot.store.job_states import UNDELIVERED, sql_list

_COLUMNS = """
    images.id, images.job_id, images.position, images.seed, images.state, images.file, images.seen_at,
    jobs.owner_id, jobs.guild_id, jobs.channel_id, jobs.visibility, jobs.kind, jobs.spec, jobs.count,
    jobs.parent_image_id AS parent_id, jobs.result_channel_id, jobs.result_message_id, jobs.forgotten_at,
    jobs.spoiler
    FROM images JOIN jobs ON jobs.id = images.job_id
"""
_SHOWN = "images.state = 'rendered' AND jobs.state IN ('rendered', 'delivering', 'delivered')"
_CHARGED = sql_list((*UNDELIVERED, "delivered", "cancelled"))
"""The states of jobs that are charged for an image that is handed out now."""
_FAMILY_LIMIT = 200
_UPLOADS_KEPT = 50


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image with fields of its job. ``spec`` is the job's JSON; the image's own seed is ``seed``.

    ``file`` is its name in the image folder, None if there is no file; ``seen_at`` is when it was first handed out, in
    UTC seconds. ``owner_id`` is 0 if the owner had their data deleted. A spec that was forgotten has an empty prompt.
    """

    id: str
    job_id: int
    position: int
    seed: int
    state: str
    file: str | None
    seen_at: int | None
    owner_id: int
    guild_id: int | None
    channel_id: int
    visibility: str
    kind: str
    spec: str
    count: int
    parent_id: str | None
    result_channel_id: int | None
    result_message_id: int | None
    forgotten_at: int | None
    spoiler: int

    @property
    def private(self) -> bool:
        return self.visibility == "private"

    @property
    def deleted(self) -> bool:
        return self.state == "deleted"


async def find(database: Database, image_id: str) -> ImageRow | None:
    """Return the image, in whatever state; None if there is none."""
    return _first(await database.query(f"SELECT {_COLUMNS} WHERE images.id = ?", (image_id,)))


async def of_job(database: Database, job_id: int) -> list[ImageRow]:
    """Return a job's rendered images that are not deleted, in order."""
    return _all(
        await database.query(f"SELECT {_COLUMNS} WHERE images.job_id = ? AND {_SHOWN} ORDER BY position", (job_id,))
    )


async def any_of_job(database: Database, job_id: int) -> ImageRow | None:
    """Return the first image of a job, in whatever state; None if there is no such job."""
    return _first(
        await database.query(f"SELECT {_COLUMNS} WHERE images.job_id = ? ORDER BY position LIMIT 1", (job_id,))
    )


async def of_message(database: Database, message_id: int) -> list[ImageRow]:
    """Return the images that a result message shows, in order; none if it is no result."""
    return _all(
        await database.query(
            f"SELECT {_COLUMNS} WHERE jobs.result_message_id = ? AND {_SHOWN} ORDER BY position", (message_id,)
        )
    )


async def newest_in_channel(
    database: Database, channel_id: int, member_id: int, *, own: bool, since: int, count: int
) -> list[ImageRow]:
    """Return the newest delivered images that were asked for in a channel, the newest job first, each in order.

    With ``own`` they are the member's, private ones among them; else the public ones of others that were posted there.
    ``since`` is the earliest end of their jobs, in UTC seconds.
    """
    whose = (
        "jobs.owner_id = ?"
        if own
        else "jobs.owner_id <> ? AND jobs.visibility = 'public' AND jobs.result_channel_id = jobs.channel_id"
    )
    rows = await database.query(
        f"SELECT {_COLUMNS} WHERE jobs.channel_id = ? AND jobs.state = 'delivered' AND jobs.ended_at >= ?"
        f" AND images.state = 'rendered' AND {whose} ORDER BY jobs.id DESC, images.position LIMIT ?",
        (channel_id, since, member_id, count),
    )
    return _all(rows)


async def recent_of(database: Database, owner_id: int, guild_id: int | None, count: int = 25) -> list[ImageRow]:
    """Return the member's newest images in a server (None: in direct messages), the newest first.

    Contains private images: to be shown to the member only.
    """
    rows = await database.query(
        f"SELECT {_COLUMNS} WHERE jobs.owner_id = ? AND jobs.guild_id IS ? AND {_SHOWN}"
        " ORDER BY jobs.created_at DESC, jobs.id DESC, images.position LIMIT ?",
        (owner_id, guild_id, count),
    )
    return _all(rows)


async def handed_out(database: Database, row: ImageRow, now: int) -> str | None:
    """Note that an image is about to be handed out, if that is the first time.

    Returns the name of its file; None if there is none, or the image may not be handed out: see :func:`hand_out`.
    """
    if row.file is None or row.seen_at is not None:
        return row.file
    return row.file if await database.write(partial(hand_out, image_id=row.id, now=now)) else None


async def family(database: Database, image_id: str) -> list[ImageRow]:
    """Return the image, its ancestors and all their descendants, by job and position.

    At most 200: the image itself and the newest others.
    """
    rows = await database.query(
        "WITH RECURSIVE up (id) AS ("
        "  SELECT ? UNION SELECT jobs.parent_image_id FROM up JOIN images ON images.id = up.id"
        "  JOIN jobs ON jobs.id = images.job_id WHERE jobs.parent_image_id IS NOT NULL),"
        " kin (id) AS ("
        "  SELECT id FROM up UNION SELECT images.id FROM kin JOIN jobs ON jobs.parent_image_id = kin.id"
        "  JOIN images ON images.job_id = jobs.id WHERE images.state IN ('rendered', 'deleted'))"
        f" SELECT {_COLUMNS} WHERE images.id IN (SELECT id FROM kin)"
        " ORDER BY images.id = ? DESC, jobs.id DESC, images.position DESC LIMIT ?",
        (image_id, image_id, _FAMILY_LIMIT),
    )
    return sorted(_all(rows), key=lambda row: (row.job_id, row.position))


def hand_out(connection: sqlite3.Connection, image_id: str, now: int) -> bool:
    """Note that an image is about to be handed out, so that its job is charged for it. Read its file after that.

    Returns False if the image may not be handed out: it is deleted, or its job is still being generated, or was
    refunded.
    """
    cursor = connection.execute(
        "UPDATE images SET seen_at = coalesce(seen_at, ?) WHERE id = ? AND state = 'rendered'"
        f" AND EXISTS (SELECT 1 FROM jobs WHERE jobs.id = images.job_id AND jobs.state IN {_CHARGED})",
        (now, image_id),
    )
    return cursor.rowcount == 1


def posted(connection: sqlite3.Connection, job_id: int, now: int) -> None:
    """Note that a job's rendered images were handed out with its result."""
    connection.execute(
        "UPDATE images SET seen_at = coalesce(seen_at, ?) WHERE job_id = ? AND state = 'rendered'", (now, job_id)
    )


def charges(connection: sqlite3.Connection, job_id: int) -> int:
    """Return what a job's images were charged, in 1/100 credit."""
    return _sum_charges(connection, job_id, "TRUE")


def charges_of_seen(connection: sqlite3.Connection, job_id: int) -> int:
    """Return what those of a job's images were charged that were handed out or that a member deleted."""
    return _sum_charges(connection, job_id, "seen_at IS NOT NULL OR state = 'deleted'")


def lost(connection: sqlite3.Connection, job_id: int, positions: Collection[int]) -> None:
    """Note that the files of rendered images are gone: these images have failed.

    Those that were not handed out before are not charged.
    """
    connection.executemany(
        "UPDATE images SET state = 'failed', file = NULL, charge = CASE WHEN seen_at IS NULL THEN 0 ELSE charge END"
        " WHERE job_id = ? AND position = ?",
        [(job_id, position) for position in positions],
    )


def delete_of_job(connection: sqlite3.Connection, job_id: int) -> list[str]:
    """Mark a job's images as deleted. Returns the names of the files to remove."""
    rows = connection.execute("SELECT file FROM images WHERE job_id = ? AND file IS NOT NULL", (job_id,)).fetchall()
    connection.execute(
        "UPDATE images SET state = 'deleted', file = NULL WHERE job_id = ? AND state = 'rendered'", (job_id,)
    )
    return [row["file"] for row in rows]


def delete(connection: sqlite3.Connection, image_id: str) -> str | None:
    """Mark an image as deleted. Returns the name of the file to remove, None if there is none."""
    row = connection.execute("SELECT file FROM images WHERE id = ?", (image_id,)).fetchone()
    connection.execute("UPDATE images SET state = 'deleted', file = NULL WHERE id = ?", (image_id,))
    return row["file"] if row is not None else None


def delete_of_messages(connection: sqlite3.Connection, message_ids: list[int]) -> list[str]:
    """Mark the images of messages that were deleted in Discord as deleted. Returns the names of the files to remove."""
    files: list[str] = []
    for message_id in message_ids:
        rows = connection.execute(
            "SELECT images.id FROM images JOIN jobs ON jobs.id = images.job_id WHERE jobs.result_message_id = ?"
            " AND images.state = 'rendered'",
            (message_id,),
        ).fetchall()
        files += [file for row in rows if (file := delete(connection, row["id"])) is not None]
    return files


def keep_upload(
    connection: sqlite3.Connection,
    upload_id: str,
    owner_id: int,
    original: str,
    spec: str,
    now: int,
    *,
    spoiler: bool = False,
) -> list[str]:
    """Store an upload, noting ``spoiler`` in its spec, and delete the member's oldest ones beyond 50 others.

    Returns the names of the originals that no row has any more.
    """
    dropped = connection.execute(
        "DELETE FROM uploads WHERE owner_id = ? AND id NOT IN"
        " (SELECT id FROM uploads WHERE owner_id = ? ORDER BY created_at DESC LIMIT ?) RETURNING source",
        (owner_id, owner_id, _UPLOADS_KEPT),
    ).fetchall()
    connection.execute(
        "INSERT INTO uploads (id, owner_id, source, spec, created_at)"
        " VALUES (?1, ?2, ?3, iif(?6, json_set(?4, '$.spoiler', 1), ?4), ?5)",
        (upload_id, owner_id, original, spec, now, spoiler),
    )
    return [name for name in {row["source"] for row in dropped} if not _is_needed(connection, name)]


def _is_needed(connection: sqlite3.Connection, original: str) -> bool:
    """Return whether an upload, or a job that is not forgotten, has this original."""
    return (
        connection.execute(
            "SELECT 1 FROM uploads WHERE source = :name UNION ALL SELECT 1 FROM jobs"
            " WHERE json_extract(spec, '$.source') = :name AND forgotten_at IS NULL LIMIT 1",
            {"name": original},
        ).fetchone()
        is not None
    )


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture given to ``/details``: its stored original's name, the spec from its metadata, and 1 for a spoiler."""

    id: str
    owner_id: int
    original: str
    spec: str
    spoiler: int


async def find_upload(database: Database, upload_id: str) -> Upload | None:
    """Return the upload, None if there is none."""
    rows = await database.query(
        "SELECT id, owner_id, source AS original, spec, coalesce(json_extract(spec, '$.spoiler'), 0) AS spoiler"
        " FROM uploads WHERE id = ?",
        (upload_id,),
    )
    return Upload(**dict(rows[0])) if rows else None


def _sum_charges(connection: sqlite3.Connection, job_id: int, condition: str) -> int:
    row = connection.execute(
        f"SELECT sum(charge) AS total FROM images WHERE job_id = ? AND ({condition})", (job_id,)
    ).fetchone()
    return int(row["total"] or 0)


def _all(rows: list[sqlite3.Row]) -> list[ImageRow]:
    return [ImageRow(**dict(row)) for row in rows]


def _first(rows: list[sqlite3.Row]) -> ImageRow | None:
    return ImageRow(**dict(rows[0])) if rows else None
