"""Whether alerts can reach their operator: is there such a channel, may the bot write in it, is the webhook there."""

from __future__ import annotations

import time

import aiohttp
import discord
import structlog
from pydantic import SecretStr

from bot.views.permissions import ServerChannel, missing_for_text

log = structlog.get_logger(__name__)

_ASK_AGAIN_SECONDS = 60 * 60
"""The least time between two requests to Discord for one place; what discord.py knows is looked at in each check."""
_NO_ANSWER = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError)


class AlertPlaces:
    """Looks at ``ALERT_CHANNEL`` and ``ALERT_WEBHOOK``. Call :meth:`check` again and again once the client is ready."""

    def __init__(self, client: discord.Client, channel_id: int | None, webhook: SecretStr | None) -> None:
        self._client = client
        self._channel_id = channel_id
        self._webhook = webhook
        self._faults: dict[str, str | None] = {}
        self._asked_at: dict[str, float] = {}

    @property
    def faults(self) -> list[str]:
        """One sentence for each place that was found unusable."""
        return [fault for fault in self._faults.values() if fault]

    async def check(self) -> None:
        """Look at both; a fault is logged when it is found. Never raises: without an answer nothing is known."""
        for name, look in (("ALERT_CHANNEL", self._look_at_channel), ("ALERT_WEBHOOK", self._look_at_webhook)):
            try:
                fault = await look(self._faults.get(name))
            except _NO_ANSWER as error:
                log.info("alert_place_not_checked", setting=name, reason=type(error).__name__)
                continue
            if fault and fault != self._faults.get(name):
                log.warning("alert_place_unusable", setting=name, advice=fault)
            self._faults[name] = fault

    async def _look_at_channel(self, known: str | None) -> str | None:
        if self._channel_id is None:
            return None
        channel = self._client.get_channel(self._channel_id)
        if channel is None:
            if not self._may_ask("ALERT_CHANNEL"):
                return known
            try:
                channel = await self._client.fetch_channel(self._channel_id)
            except (discord.NotFound, discord.Forbidden, discord.InvalidData):
                return (
                    f"ALERT_CHANNEL={self._channel_id} names a channel that I cannot see, so no alerts are posted "
                    "there: set the id of another channel, or let me see it."
                )
        if isinstance(channel, ServerChannel):
            lacking = missing_for_text(channel)
            return _cannot_write(channel, lacking) if lacking else None
        if isinstance(channel, discord.abc.Messageable):
            return None
        return f"ALERT_CHANNEL={self._channel_id} holds no messages: set the id of a text channel."

    async def _look_at_webhook(self, known: str | None) -> str | None:
        if self._webhook is None or not self._may_ask("ALERT_WEBHOOK"):
            return known
        webhook = discord.Webhook.from_url(self._webhook.get_secret_value(), client=self._client)
        try:
            await webhook.fetch(prefer_auth=False)
        except (discord.NotFound, discord.Forbidden):
            return "The webhook of ALERT_WEBHOOK does not exist, so no alerts are posted there: make a new one."
        return None

    def _may_ask(self, name: str) -> bool:
        now = time.monotonic()
        if name in self._asked_at and now - self._asked_at[name] < _ASK_AGAIN_SECONDS:
            return False
        self._asked_at[name] = now
        return True


def _cannot_write(channel: ServerChannel, lacking: tuple[str, ...]) -> str:
    permissions = "permission" if len(lacking) == 1 else "permissions"
    return (
        f"I cannot write in ALERT_CHANNEL={channel.id}, so no alerts are posted there: give me the {permissions} "
        f"{' and '.join(lacking)}."
    )
