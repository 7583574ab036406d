"""The settings of monitoring: where the bot shows its condition, and where it tells its operator what is wrong."""

from __future__ import annotations

import re

from pydantic import Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings

from bot.data_settings import Id

_WEBHOOK = re.compile(r"https://([\w-]+\.)?discord(app)?\.com/api/(v\d+/)?webhooks/\d{17,20}/[\w.-]{60,}")


class MonitoringSettings(BaseSettings):
    """A part of :class:`bot.settings.Settings`."""

    metrics_addr: str = Field(
        "",
        description="Where metrics and /healthz are served, such as 127.0.0.1:9464. Empty: nowhere. Whoever reaches it "
        "can read it: keep it on loopback or in a network of your own.",
    )
    alert_channel: Id | None = Field(
        None, description="Id of the channel where the bot tells its operator what is wrong."
    )
    alert_webhook: SecretStr | None = Field(
        None, description="URL of a Discord webhook for the same; it works without the bot being in that server."
    )

    @field_validator("metrics_addr")
    @classmethod
    def _check_address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if value and not (host and port.isdecimal() and int(port) < 2**16):
            raise PydanticCustomError("address", "Input should be a host and a port, such as 127.0.0.1:9464")
        return value

    @field_validator("alert_webhook")
    @classmethod
    def _check_webhook(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _WEBHOOK.fullmatch(value.get_secret_value()):
            raise PydanticCustomError("webhook", "Input should be the URL of a webhook, as Discord shows it")
        return value

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """The host and port of ``metrics_addr``; None if it is empty."""
        host, _, port = self.metrics_addr.rpartition(":")
        return (host.strip("[]"), int(port)) if host else None
