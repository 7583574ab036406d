"""How much Discord accepts, in bytes."""

from __future__ import annotations

FILE_LIMIT = 20 * 2**20
"""The largest file in a message in any server or direct message. Boosted servers accept more."""

REFUSED_FILE_LIMIT = 10 * 2**20
"""The largest file after Discord has refused a request as too large."""

REQUEST_LIMIT = 25 * 2**20 - 2**16
"""The files of one request together. Discord accepts 25 MiB; 64 KiB are left for the message's text."""


def server_file_limit(filesize_limit: int) -> int:
    """Return the largest file in a server; discord.py's ``filesize_limit`` is right for boosted servers only."""
    return max(FILE_LIMIT, filesize_limit)
