"""Ceilings that the operator changed while the bot ran: they stay when it is started anew."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import get_args

from bot.store.admission import Ceiling, Terms
from bot.store.database import Database
from bot.store.guild_settings import INSTANCE, drop_setting, read_settings, write_setting

CEILINGS: tuple[Ceiling, ...] = get_args(Ceiling)
_UNLIMITED = "unlimited"


async def read_terms(database: Database, configured: Terms) -> Terms:
    """The configured terms, with what the operator has changed since."""
    values = await read_settings(database, INSTANCE)
    changed = {name: _parsed(values[name]) for name in CEILINGS if name in values}
    return replace(configured, **changed)  # type: ignore[arg-type]  # the names are fields of Terms


def write_ceiling(connection: sqlite3.Connection, name: Ceiling, value: int | None) -> None:
    """Set a ceiling, in its own unit; None is "unlimited"."""
    write_setting(connection, INSTANCE, name, _UNLIMITED if value is None else str(value))


def drop_ceiling(connection: sqlite3.Connection, name: Ceiling) -> None:
    """Back to what the configuration says."""
    drop_setting(connection, INSTANCE, name)


def _parsed(text: str) -> int | None:
    return None if text == _UNLIMITED else int(text)
