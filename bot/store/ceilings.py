"""Ceilings that the operator changed with ``/owner ceilings``; they outlive a restart."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from bot.store.admission import Terms
from bot.store.database import Database
from bot.store.guild_settings import INSTANCE, drop_setting, read_settings, write_setting
from bot.store.limits import CEILINGS, UNLIMITED, Ceiling


async def read_terms(database: Database, configured: Terms) -> Terms:
    """Return the configured terms with the ceilings that the operator has changed since."""
    values = await read_settings(database, INSTANCE)
    changed = {name: _parsed(values[name]) for name in CEILINGS if name in values}
    return replace(configured, **changed)  # type: ignore[arg-type]  # the names are fields of Terms


def write_ceiling(connection: sqlite3.Connection, name: Ceiling, value: int | None) -> None:
    """Set a ceiling, in its unit; None is "unlimited"."""
    write_setting(connection, INSTANCE, name, UNLIMITED if value is None else str(value))


def drop_ceiling(connection: sqlite3.Connection, name: Ceiling) -> None:
    """Delete what the operator changed, so that the configured ceiling holds."""
    drop_setting(connection, INSTANCE, name)


def _parsed(text: str) -> int | None:
    return None if text == UNLIMITED else int(text)
