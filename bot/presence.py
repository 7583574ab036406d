"""The line under the bot's name: whether it is ready, and how many requests are in the queue."""

from __future__ import annotations

import discord
import structlog

from bot.jobs.service import JobService
from zimage_engine.engine import Engine

log = structlog.get_logger(__name__)

PRESENCE_SECONDS = 15.0
"""Seconds between two updates at least: Discord takes five in 20 seconds, of all kinds together."""

LOADING = "loading the model"
_IDLE = "/imagine"


class Presence:
    """Shows the state of the bot as its custom status; Discord is only told of changes."""

    def __init__(self, client: discord.Client, engine: Engine, jobs: JobService) -> None:
        self._client = client
        self._engine = engine
        self._jobs = jobs
        self._shown: str | None = None

    async def update(self) -> None:
        """Send the state if it has changed. Raises what discord.py raises if the gateway is not connected."""
        text = self.text()
        if text == self._shown:
            return
        activity, status = custom_status(text), _status(text)
        # A new session begins with these, so that it does not show what the first one began with.
        self._client.activity, self._client.status = activity, status
        await self._client.change_presence(activity=activity, status=status)
        self._shown = text
        log.debug("presence_changed", text=text)

    def text(self) -> str:
        """Return the state in a few words."""
        if self._jobs.paused_everywhere:
            return "paused"
        if self._jobs.draining:
            return "restarting soon"
        if self._engine.state in ("loading", "recovering"):
            return LOADING
        if self._engine.state != "ready":
            return "out of order"
        in_queue = len(self._jobs.active)
        return f"{in_queue} in the queue · {_IDLE}" if in_queue else _IDLE


def custom_status(text: str) -> discord.CustomActivity:
    return discord.CustomActivity(name=text)


def _status(text: str) -> discord.Status:
    """Return the colour of the dot: green if requests are carried out at once or in their turn, else yellow."""
    return discord.Status.online if text.endswith(_IDLE) else discord.Status.idle
