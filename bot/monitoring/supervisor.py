"""What systemd is told of the bot: that it is ready, that it stops, and, while it is healthy, that it is alive.

The protocol is sd_notify(3): datagrams to the socket that ``NOTIFY_SOCKET`` names.
"""

from __future__ import annotations

import socket

import structlog
from pydantic_settings import BaseSettings

log = structlog.get_logger(__name__)


class SupervisorSettings(BaseSettings):
    """What systemd puts into the environment of a service that it watches; nobody sets it by hand."""

    notify_socket: str | None = None
    watchdog_usec: int = 0


class Supervisor:
    """Tells systemd; does nothing where the bot was started otherwise."""

    def __init__(self, settings: SupervisorSettings) -> None:
        address = settings.notify_socket
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self.watchdog_seconds = settings.watchdog_usec / 1e6 / 4 if address and settings.watchdog_usec else None
        """How often to call :meth:`alive`, so that one call that finds a fault is not the end; None if nobody waits."""

    def ready(self) -> None:
        self._send("READY=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the line that ``systemctl status`` shows."""
        self._send(f"STATUS={text}")

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                connection.settimeout(0)
                connection.sendto(message.encode(), self._address)
        except OSError as error:
            log.warning("supervisor_not_told", message=message, reason=error.strerror)
