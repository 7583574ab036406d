"""What is stored about one member, in readable form: ids as text, times as ISO 8601 in UTC, credits as 1.00.

Interaction tokens are left out, because they are secrets, and so are the ids of admins.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.store.accounts import DAY
from bot.store.job_states import WAITING

Readable = str | int | float | bool | None | dict[str, "Readable"] | list["Readable"]

_MINE = "account_id IN (SELECT id FROM accounts WHERE member_id = :member)"
_ABOUT = {
    "settings": "SELECT name, value FROM member_settings WHERE member_id = :member ORDER BY name",
    "pictures_you_brought": (
        "SELECT id, source || '.png' AS file, spec, created_at AS at FROM uploads"
        " WHERE owner_id = :member ORDER BY created_at"
    ),
    "requests_being_read": (
        "SELECT guild_id, channel_id, prompt, draft AS request, created_at AS at"
        " FROM open_cards WHERE owner_id = :member"
        " ORDER BY event_id"
    ),
    "requests_to_edit": "SELECT request, created_at AS at FROM drafts WHERE owner_id = :member ORDER BY id",
    "pictures_read": ("SELECT hour * 3600 AS at, bytes FROM downloads WHERE member_id = :member ORDER BY hour"),
    "limits_for_you": (
        "SELECT guild_id, name, value, until FROM limits WHERE target = 'user' AND target_id = :member"
        " ORDER BY guild_id, name"
    ),
    "blocks": "SELECT guild_id, until, reason, at FROM blocks WHERE member_id = :member ORDER BY guild_id",
    "changes_about_you": (
        "SELECT guild_id, action, target, before, after, reason, at FROM audit WHERE member_id = :member ORDER BY id"
    ),
    "changes_by_you": (
        "SELECT guild_id, action, target, before, after, reason, at FROM audit WHERE actor_id = :member ORDER BY id"
    ),
    "credits_by_server": (
        "SELECT scope_id AS guild_id, entry, sum(credits) AS credits, count(*) AS entries FROM ledger"
        f" WHERE {_MINE} GROUP BY scope_id, entry ORDER BY scope_id, entry"
    ),
    "usage_by_day": (
        f"SELECT day * {DAY} AS day_from, scope_id AS guild_id, channel_id, kind, jobs, images, credits, device_ms"
        f" FROM usage_days WHERE {_MINE} ORDER BY day, scope_id, channel_id, kind"
    ),
}
_JOB = (
    "SELECT id, kind, state, visibility, source_id AS asked_in, guild_id, channel_id, spec, count, credits, device_ms,"
    " parent_image_id AS made_from_image, original_link AS made_from_message, defaults AS settings_applied, spoiler,"
    " result_channel_id, result_message_id, error_code, note, created_at, started_at, rendered_at, ended_at,"
    " forgotten_at FROM jobs WHERE owner_id = :member AND id >= :first ORDER BY id LIMIT :most"
)
_IMAGE = (
    "SELECT id, position, seed, state, file, device_ms, charge AS credits, error, seen_at FROM images"
    " WHERE job_id = ? ORDER BY position"
)
_JSON = ("spec", "request")
_IDS = ("_id", "asked_in")
_TIMES = ("_at", "at", "until", "day_from")


@dataclass(frozen=True, slots=True)
class ExportedJob:
    """A job in readable form.

    ``files`` are the names of its images' files, in order; none while the job is being generated. ``unseen`` has the
    images' ids by the names of those files that were never handed out. ``input_files`` are the names of the files of
    the picture and the mask that the member gave to edit.
    """

    id: int
    row: dict[str, Readable]
    files: list[str]
    input_files: list[str]
    unseen: dict[str, str]


def about(connection: sqlite3.Connection, member_id: int) -> tuple[dict[str, Readable], list[str]]:
    """Return everything about a member except their jobs, and the names of the files of their uploads."""
    row_values: dict[str, Readable] = {"member_id": str(member_id)}
    for title, sql in _ABOUT.items():
        row_values[title] = [_readable(row) for row in connection.execute(sql, {"member": member_id})]
    rows = connection.execute("SELECT DISTINCT source FROM uploads WHERE owner_id = ?", (member_id,))
    return row_values, [f"{row['source']}.png" for row in rows]


def jobs_from(connection: sqlite3.Connection, member_id: int, first: int, most: int) -> list[ExportedJob]:
    """Return at most ``most`` of a member's jobs, from the one with the id ``first`` on."""
    exported: list[ExportedJob] = []
    for row in connection.execute(_JOB, {"member": member_id, "first": first, "most": most}).fetchall():
        images = connection.execute(_IMAGE, (row["id"],)).fetchall()
        row_values, spec = _readable(row), json.loads(row["spec"])
        row_values["images"] = [_readable(image) for image in images]
        with_files = [image for image in images if image["file"] is not None and row["state"] not in WAITING]
        # The original of an edit with a parent is an image of the bot, not one that the member gave.
        names = [spec.get("source") if row["made_from_image"] is None else None, spec.get("mask")]
        exported.append(
            ExportedJob(
                row["id"],
                row_values,
                [image["file"] for image in with_files],
                [f"{name}.png" for name in names if name],
                {image["file"]: image["id"] for image in with_files if image["seen_at"] is None},
            )
        )
    return exported


def _readable(row: sqlite3.Row) -> dict[str, Readable]:
    values: Mapping[str, str | int | None] = dict(row)
    return {_title(name): _value(name, value) for name, value in values.items()}


def _title(name: str) -> str:
    return {"guild_id": "server_id", "device_ms": "device_seconds"}.get(name, name)


def _value(name: str, value: str | int | None) -> Readable:
    if value is None:
        return None
    if isinstance(value, str):
        spec: dict[str, Readable] | None = json.loads(value) if name in _JSON else None
        return spec if spec is not None else value
    if name.endswith(_IDS):
        return str(value)
    if name.endswith(_TIMES):
        return datetime.fromtimestamp(value, UTC).isoformat()
    if name == "credits":
        return value / 100
    return value / 1000 if name == "device_ms" else value
