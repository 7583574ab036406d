"""The pictures that are deleted when the disk has too little room. Functions are part of a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """A delivered image with a file; ``ended_at`` is when its job ended, in UTC seconds."""

    id: str
    file: str
    ended_at: int


def oldest_pictures(connection: sqlite3.Connection, after: KeptPicture | None, count: int) -> list[KeptPicture]:
    """Return the oldest pictures that are posted and have a file, after another one in this order."""
    rows = connection.execute(
        "SELECT images.id, images.file, jobs.ended_at FROM jobs JOIN images ON images.job_id = jobs.id"
        " WHERE jobs.forgotten_at IS NULL AND jobs.state = 'delivered' AND images.file IS NOT NULL"
        " AND jobs.ended_at >= :at AND (jobs.ended_at, images.id) > (:at, :id)"
        " ORDER BY jobs.ended_at, images.id LIMIT :count",
        {"at": after.ended_at if after else 0, "id": after.id if after else "", "count": count},
    )
    return [KeptPicture(*row) for row in rows]


def drop_files(connection: sqlite3.Connection, image_ids: Collection[str]) -> None:
    """Note that the files of images are deleted. The images stay: their messages in Discord still have the pictures."""
    connection.executemany("UPDATE images SET file = NULL WHERE id = ?", [(image_id,) for image_id in image_ids])
