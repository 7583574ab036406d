"""What members may do in a channel of the simulated Discord."""

from __future__ import annotations

from typing import Any

import discord
from simcord.backend.models import Overwrite
from simcord.enums import OverwriteType

from bot.playground.world import World


def set_rights(world: World, channel: Any, who: Any, **rights: bool) -> None:
    """Set what a channel itself allows and denies a member, by discord.py's names; all else is as in the server."""
    allow, deny = discord.PermissionOverwrite(**rights).pair()
    overwrite = Overwrite(who.id, OverwriteType.MEMBER, allow=allow.value, deny=deny.value)
    world.env.backend.set_overwrite(channel.id, overwrite)
