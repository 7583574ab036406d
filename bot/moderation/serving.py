"""Which commands, buttons and forms a member may use while they are blocked, the server is paused, and so on.

A command that is not in the table is not served; a test compares the table with the command tree.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from enum import Enum

from bot.store import admission, audit, moderation
from bot.store.guild_settings import INSTANCE
from bot.store.limits import Requester
from bot.store.not_admitted import Blocked, Paused, WrongPlace


class Served(Enum):
    """To whom something is of use."""

    ALWAYS = "always"
    """To everybody everywhere: one's data, help, and what becomes of what one has asked for."""
    UNLESS_BLOCKED = "unless blocked"
    """To everybody but blocked members: what admins undo pauses and channel rules with."""
    WHERE_ALLOWED = "where allowed"
    """Not to blocked members, nor in paused servers, nor in channels that the admins deny."""
    AS_REQUEST = "as request"
    """As WHERE_ALLOWED, but checked when the request is admitted, whose refusal repeats what was typed."""


COMMANDS: Mapping[str, Served] = {
    "privacy": Served.ALWAYS,
    "help": Served.ALWAYS,
    "quota": Served.ALWAYS,
    "queue": Served.ALWAYS,
    "owner": Served.ALWAYS,  # for the operator, who checks their own ids
    "admin": Served.UNLESS_BLOCKED,
    "Limits": Served.UNLESS_BLOCKED,
    "Moderate": Served.UNLESS_BLOCKED,
    "imagine": Served.AS_REQUEST,
    "edit": Served.AS_REQUEST,
    "Edit image": Served.WHERE_ALLOWED,
    "details": Served.WHERE_ALLOWED,
    "tree": Served.WHERE_ALLOWED,
    "cancel": Served.WHERE_ALLOWED,
    "settings": Served.WHERE_ALLOWED,
    "usage": Served.WHERE_ALLOWED,
    "ping": Served.WHERE_ALLOWED,
}
"""By the name of a slash command, without its subcommands, or of a context menu."""

COMPONENTS: Mapping[str, Served] = {
    "privacy": Served.ALWAYS,
    "queue": Served.ALWAYS,
    "cancel": Served.ALWAYS,  # as /queue does
    "owner": Served.ALWAYS,  # as /owner, which checks who it is
    "show": Served.ALWAYS,  # offered by /quota: a result that was accepted and paid for before
    **dict.fromkeys(
        ("audit", "limits", "blocked", "words", "channels", "member", "moderate", "setup"), Served.UNLESS_BLOCKED
    ),
    **dict.fromkeys(
        ("edit", "vary", "upscale", "again", "remix", "more", "subtle", "strong", "details", "compare", "tree"),
        Served.WHERE_ALLOWED,
    ),
    **dict.fromkeys(
        ("delete", "drop", "dropall", "which"),
        Served.WHERE_ALLOWED,
    ),
    **dict.fromkeys(("pick", "draft", "answer", "generate", "modal", "request"), Served.AS_REQUEST),
}
"""By the first word of a ``custom_id`` of a button, a select or a form."""


def served(command: str | None, custom_id: str | None) -> Served:
    """Return to whom a command with this name, or a component with this id, is served."""
    if command is not None:
        return COMMANDS.get(command, Served.WHERE_ALLOWED)
    word = (custom_id or "").removeprefix("zib:").split(":")[0].split("-")[0]
    return COMPONENTS.get(word, Served.WHERE_ALLOWED)


def check(connection: sqlite3.Connection, asked: Served, requester: Requester, now: int) -> None:
    """Raise :class:`NotAdmitted` if what is asked for is not served to the requester here and now.

    Where the operator does not offer pictures (direct messages, servers of others) the rest is served all the same.
    """
    if asked in (Served.ALWAYS, Served.AS_REQUEST):
        return
    try:
        admission.check_rules(connection, requester, now)
    except (Paused, WrongPlace):
        _check_blocked(connection, requester, now)
        if asked is Served.WHERE_ALLOWED:
            raise


def _check_blocked(connection: sqlite3.Connection, requester: Requester, now: int) -> None:
    """Raise :class:`Blocked`, which :func:`bot.store.admission.check_rules` does not come to in a paused server."""
    member_id = requester.member_id
    for guild_id in {INSTANCE, requester.guild_id or INSTANCE}:
        block = moderation.find_block(connection, guild_id, member_id, now)
        if block is not None:
            raise Blocked(block.until, block.reason, audit.newest_actor(connection, guild_id, "block", member_id))
