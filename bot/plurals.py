"""Numbers with their nouns, for texts."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: "1 picture", "1,200 pictures". ``plural`` is for nouns that take no "s"."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
