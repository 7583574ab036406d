"""The version of this program."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version


@cache
def program_version() -> str:
    """Return the version of the installed package, such as ``0.3.0``."""
    return version("zimage-bot")
