"""The errors a person can meet, besides the engine's own."""

from __future__ import annotations

from typing import ClassVar


class Refusal(Exception):
    """The bot will not do this; the message is one kind, exact sentence for the member who asked."""

    code: ClassVar[str] = "refused"


class NotHere(Refusal):
    """Who asks, or where, is wrong, and that will not change soon; ``in_public`` is for where others read along."""

    def __init__(self, sentence: str, in_public: str | None = None) -> None:
        super().__init__(sentence)
        self.in_public = in_public or sentence


class StartupError(Exception):
    """The program cannot start; the message tells the operator in one sentence what to do."""

    exit_status: ClassVar[int] = 2


class DeviceGone(StartupError):
    """The device stopped working for good: a supervisor is to start the program anew."""

    exit_status: ClassVar[int] = 70
