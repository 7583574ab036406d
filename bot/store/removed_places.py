"""Channels, threads and servers that are gone, and the pictures that were posted there.

Unless they are async, functions are part of a write transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from bot.store import images
from bot.store.accounts import DAY
from bot.store.database import Database

PlaceKind = Literal["channel", "guild"]

_DELIVERED = "images.state = 'rendered' AND jobs.state = 'delivered' AND jobs.forgotten_at IS NULL"
_PICTURES: dict[PlaceKind, str] = {
    # A result that went to its owner's direct messages is in no channel.
    "channel": (
        "SELECT images.id, images.job_id FROM jobs INDEXED BY jobs_kept_by_channel"
        f" JOIN images ON images.job_id = jobs.id WHERE {_DELIVERED}"
        " AND jobs.channel_id = :place AND jobs.id >= :first"
        " AND coalesce(jobs.result_channel_id, jobs.channel_id) = jobs.channel_id ORDER BY jobs.id LIMIT :most"
    ),
    # Not those of members who use the bot there as their own app: they have the scope 0.
    "guild": (
        "SELECT images.id, images.job_id FROM jobs INDEXED BY jobs_kept_by_guild"
        f" JOIN images ON images.job_id = jobs.id WHERE {_DELIVERED}"
        " AND jobs.guild_id = :place AND jobs.scope_id = :place AND jobs.id >= :first ORDER BY jobs.id LIMIT :most"
    ),
}


@dataclass(frozen=True, slots=True)
class RemovedPlace:
    """A place that is gone."""

    place_id: int
    kind: PlaceKind


def note_parent(connection: sqlite3.Connection, channels: Sequence[int]) -> None:
    """Note the parent of the first of ``channels``: a thread, its channel, its category as far as known."""
    if len(channels) > 1:
        connection.execute(
            "INSERT INTO channel_parents (channel_id, parent_id) VALUES (?, ?) ON CONFLICT (channel_id)"
            " DO UPDATE SET parent_id = excluded.parent_id WHERE parent_id <> excluded.parent_id",
            (channels[0], channels[1]),
        )


def removed(connection: sqlite3.Connection, place_id: int, kind: PlaceKind, due_at: int) -> None:
    """Note that a place is gone, and from when on its pictures are deleted; an earlier note of it stays."""
    connection.execute(
        "INSERT INTO removed_places (place_id, kind, due_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (place_id, kind, due_at),
    )


def is_back(connection: sqlite3.Connection, place_id: int) -> None:
    """Note that a place is not gone, or not any more."""
    connection.execute("DELETE FROM removed_places WHERE place_id = ?", (place_id,))


def is_noted(connection: sqlite3.Connection, place_id: int) -> bool:
    """Return whether a place is noted as gone. Only reads."""
    return connection.execute("SELECT 1 FROM removed_places WHERE place_id = ?", (place_id,)).fetchone() is not None


def compare(connection: sqlite3.Connection, guild_ids: Collection[int], present: Collection[int], due_at: int) -> None:
    """Note of each server whether the bot is in it: those that are not among ``present`` are gone."""
    for guild_id in guild_ids:
        if guild_id in present:
            is_back(connection, guild_id)
        else:
            removed(connection, guild_id, "guild", due_at)


def due(connection: sqlite3.Connection, now: int) -> list[RemovedPlace]:
    """Return the places whose pictures are to be deleted now. Only reads."""
    rows = connection.execute("SELECT place_id, kind FROM removed_places WHERE due_at <= ?", (now,))
    return [RemovedPlace(row["place_id"], row["kind"]) for row in rows]


def with_children(connection: sqlite3.Connection, place: RemovedPlace) -> list[RemovedPlace]:
    """Return the place and the channels and threads that were in it, of which no other event may tell. Only reads."""
    rows = connection.execute("SELECT channel_id FROM channel_parents WHERE parent_id = ?", (place.place_id,))
    return [place, *(RemovedPlace(row["channel_id"], "channel") for row in rows)]


def delete_pictures(
    connection: sqlite3.Connection, place: RemovedPlace, at_most: int, first_job: int = 0
) -> tuple[int, list[str]]:
    """Mark at most ``at_most`` pictures of a place as deleted, of the jobs from ``first_job`` on.

    Returns the job to go on with, 0 if no pictures are left, and the names of the files to remove.
    """
    rows = connection.execute(
        _PICTURES[place.kind], {"place": place.place_id, "first": first_job, "most": at_most}
    ).fetchall()
    files = [file for row in rows if (file := images.delete(connection, row["id"])) is not None]
    return rows[-1]["job_id"] if len(rows) == at_most else 0, files


def cleared(connection: sqlite3.Connection, place_id: int) -> None:
    """Note that no pictures of a place are left."""
    is_back(connection, place_id)
    connection.execute("DELETE FROM channel_parents WHERE :place IN (channel_id, parent_id)", {"place": place_id})


def drop_parents(connection: sqlite3.Connection, now: int) -> None:
    """Delete the parents of channels without a job that is still kept. ``now`` is not used."""
    del now
    connection.execute(
        "DELETE FROM channel_parents WHERE NOT EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_kept_by_channel"
        " WHERE jobs.channel_id = channel_parents.channel_id AND jobs.forgotten_at IS NULL)"
    )


async def guilds_with_pictures(database: Database) -> set[int]:
    """Return the servers that the bot was a member of and that have jobs which are not forgotten."""
    rows = await database.query(
        "SELECT DISTINCT guild_id FROM jobs INDEXED BY jobs_kept_by_guild"
        " WHERE guild_id IS NOT NULL AND scope_id = guild_id AND forgotten_at IS NULL"
    )
    return {row["guild_id"] for row in rows}


GUILD_SECONDS = DAY
"""How long the pictures of a server are kept after the bot was removed from it."""
