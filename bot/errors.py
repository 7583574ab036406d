"""The errors a person can meet, besides the engine's own."""

from __future__ import annotations

from typing import ClassVar


class Refusal(Exception):
    """The bot will not do this; the message is one kind, exact sentence for the member who asked."""

    code: ClassVar[str] = "refused"


class StartupError(Exception):
    """The program cannot start; the message tells the operator in one sentence what to do."""

    exit_status: ClassVar[int] = 2


class DeviceGone(StartupError):
    """The device stopped working for good: a supervisor is to start the program anew."""

    exit_status: ClassVar[int] = 70
