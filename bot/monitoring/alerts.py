"""Messages to the operator, in a channel or by a webhook: at most one of each kind in an hour."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import aiohttp
import discord
import structlog
from pydantic import SecretStr

from bot.errors import Restarting
from bot.store.database import Database
from bot.store.facts import read_fact, write_fact

log = structlog.get_logger(__name__)

AlertKind = Literal["device_lost", "device_failed", "model_not_loaded", "disk_low", "undelivered", "housekeeping"]
PAUSE_SECONDS = 60 * 60
"""The least time between two alerts of one kind, over restarts, too."""


class Alerts:
    """Sends alerts. Without a channel and a webhook they are only logged."""

    def __init__(
        self, client: discord.Client, database: Database, channel_id: int | None, webhook: SecretStr | None
    ) -> None:
        self._client = client
        self._database = database
        self._channel_id = channel_id
        self._webhook = webhook
        self._sent_at: dict[AlertKind, int] = {}
        """When the last alert of a kind was sent: the database may be what cannot be written, as on a full disk."""

    async def send(self, kind: AlertKind, text: str) -> bool:
        """Tell the operator, unless an alert of this kind was sent in the last hour. Returns whether it was sent.

        Never raises: that it could not be sent is logged, and the next call tries again.
        """
        now = int(time.time())
        if now - max(self._sent_at.get(kind, 0), await self._noted(kind)) < PAUSE_SECONDS:
            return False
        log.error("alert", kind=kind, text=text)
        ways = [way for way in (self._to_webhook, self._to_channel) if await self._try(kind, way, text)]
        if ways or (self._webhook is None and self._channel_id is None):
            self._sent_at[kind] = now
            await self._note(kind, now)
        return bool(ways)

    async def _noted(self, kind: AlertKind) -> int:
        """Return when the last alert of a kind was sent by the database, in UTC seconds; 0 if it cannot be read."""
        try:
            return int(await read_fact(self._database, f"alert_{kind}") or 0)
        except (sqlite3.Error, Restarting) as error:
            log.warning("alerts_not_read", kind=kind, reason=type(error).__name__)
            return 0

    async def _note(self, kind: AlertKind, now: int) -> None:
        try:
            await write_fact(self._database, f"alert_{kind}", str(now))
        except (sqlite3.Error, Restarting) as error:
            log.warning("alert_not_noted", kind=kind, reason=type(error).__name__)

    async def _try(self, kind: AlertKind, way: Callable[[str], Awaitable[bool]], text: str) -> bool:
        try:
            return await way(f"**zimage-bot:** {text}")
        except (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError) as error:
            # Not its text: of a webhook it holds the URL, and with it the token.
            status = getattr(error, "status", None)
            log.warning("alert_not_sent", kind=kind, way=way.__name__, reason=type(error).__name__, status=status)
            return False

    async def _to_webhook(self, text: str) -> bool:
        if self._webhook is None:
            return False
        webhook = discord.Webhook.from_url(self._webhook.get_secret_value(), client=self._client)
        await webhook.send(text, allowed_mentions=discord.AllowedMentions.none())
        return True

    async def _to_channel(self, text: str) -> bool:
        if self._channel_id is None:
            return False
        channel = self._client.get_partial_messageable(self._channel_id)
        await channel.send(text, allowed_mentions=discord.AllowedMentions.none())
        return True
