"""SQL that is put together from the names of columns."""

from __future__ import annotations

from functools import cache


@cache
def insert_statement(table: str, columns: tuple[str, ...]) -> str:
    """Return an INSERT of one row, with a parameter of the same name for each column."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)})"
