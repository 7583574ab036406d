"""A simulated Discord whose faults are switched on and off while the bot runs. They outlast a restart of the bot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import discord
from simcord.backend.models import Overwrite
from simcord.enums import OverwriteType

from bot.playground.faulty_device import FaultOn
from bot.playground.world import World

_UNAVAILABLE = ("/channels/*", "/webhooks/*", "/interactions/*", "/users/@me/channels")
"""What the bot requests to answer and to post, as :mod:`fnmatch` patterns: ``*`` matches slashes, too."""


class DiscordFaults:
    """The faults of a world's Discord, as context managers for the event loop.

    They change SimCord's backend. ``Env.inject_error`` would do less: it is refused while a member's action is going
    on, and its errors cannot be withdrawn.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._outage: list[dict[str, Any]] = []
        self._lost: tuple[str, ...] = ()

    @contextmanager
    def unavailable(self) -> Iterator[None]:
        """Have Discord answer 503 to everything that the bot sends. Raises :class:`FaultOn`.

        discord.py makes no second attempt after a 503. It would raise :class:`discord.DiscordServerError`; SimCord
        raises that error's base class, with the same status.
        """
        if self._outage:
            raise FaultOn("Discord is unavailable already.")
        rules = self._world.env.backend.faults  # what Env.inject_error adds to
        self._outage = [_outage_rule(path) for path in _UNAVAILABLE]
        rules += self._outage
        try:
            yield
        finally:
            rules[:] = [rule for rule in rules if all(rule is not ours for ours in self._outage)]
            self._outage = []

    @contextmanager
    def permission_lost(self, *permissions: str) -> Iterator[None]:
        """Deny the bot permissions in the world's channel, by discord.py's names for them.

        At the end each is denied, allowed or neither as it was before; other changes meanwhile stay.
        Raises :class:`ValueError` if Discord has no such permission, and :class:`FaultOn`.
        """
        unknown = [each for each in permissions if each not in discord.Permissions.VALID_FLAGS]
        if unknown or not permissions:
            raise ValueError(f"Discord has no permission {', '.join(unknown) or 'without a name'}.")
        if self._lost:
            raise FaultOn(f"The bot has lost {', '.join(self._lost)} already.")
        overwrite = self._overwrite()
        before = {each: getattr(overwrite, each) for each in permissions}
        self._lost = permissions
        self._change(dict.fromkeys(permissions, False))
        try:
            yield
        finally:
            self._lost = ()
            self._change(before)

    def _overwrite(self) -> discord.PermissionOverwrite:
        """Return what the channel allows and denies the bot itself."""
        backend = self._world.env.backend
        for each in backend.get_channel(self._world.channel.id).overwrites:
            if each.target_id == backend.bot_user.id:
                return discord.PermissionOverwrite.from_pair(
                    discord.Permissions(each.allow), discord.Permissions(each.deny)
                )
        return discord.PermissionOverwrite()

    def _change(self, changes: dict[str, bool | None]) -> None:
        """Allow (True), deny (False) or do neither (None) with permissions of the bot in the channel."""
        backend, channel_id = self._world.env.backend, self._world.channel.id
        overwrite = self._overwrite()
        overwrite.update(**changes)
        if overwrite.is_empty():
            backend.delete_overwrite(channel_id, backend.bot_user.id)
            return
        allow, deny = overwrite.pair()
        backend.set_overwrite(
            channel_id, Overwrite(backend.bot_user.id, OverwriteType.MEMBER, allow=allow.value, deny=deny.value)
        )


def _outage_rule(path: str) -> dict[str, Any]:
    return {
        "method": "*",
        "path": path,
        "status": HTTPStatus.SERVICE_UNAVAILABLE.value,
        "code": 0,
        "message": "Service Unavailable",
        "times": None,
    }
