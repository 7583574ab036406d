"""Candidates: the pictures of a channel that a command without one may mean."""

from __future__ import annotations

import time

from bot.commands.invocation import Invocation
from bot.media.contact_sheets import CONTACTS_MAX
from bot.store import images
from bot.store.database import Database
from bot.store.guild_settings import EDITABLE, read_setting
from bot.store.images import ImageRow

_RECENT_SECONDS = 60 * 60
_OTHERS_MIN = 3
"""How many pictures of others are among the candidates at least, if there are as many, besides the member's own."""


async def find_candidates(database: Database, invocation: Invocation, *, for_edit: bool = True) -> list[ImageRow]:
    """Return the pictures of the channel that the member may mean, the newest message first; at most nine.

    They are the member's own and the public ones of others: those of the last hour, or if there are none, the newest
    ones. ``for_edit`` leaves out those that the server does not let the member edit.
    """
    guild_id = invocation.guild.id if invocation.guild is not None and for_edit else None
    setting = await read_setting(database, guild_id, EDITABLE)
    for since in (int(time.time()) - _RECENT_SECONDS, 0):
        own = await _newest(database, invocation, own=True, since=since)
        others = [] if setting == "own" else await _newest(database, invocation, own=False, since=since)
        if own or others:
            return _newest_of_both(own, others)
    return []


async def _newest(database: Database, invocation: Invocation, *, own: bool, since: int) -> list[ImageRow]:
    return await images.newest_in_channel(
        database, invocation.channel_id, invocation.user.id, own=own, since=since, count=CONTACTS_MAX
    )


def _newest_of_both(own: list[ImageRow], others: list[ImageRow]) -> list[ImageRow]:
    """Return at most nine of both, the member's own first if there are more, in the order of the channel."""
    kept = own[: CONTACTS_MAX - min(len(others), _OTHERS_MIN)]
    kept += others[: CONTACTS_MAX - len(kept)]
    return sorted(kept, key=lambda row: (-row.job_id, row.position))
