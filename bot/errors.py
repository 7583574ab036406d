"""The errors a person can meet, besides the engine's own."""

from __future__ import annotations

from typing import ClassVar


class Refusal(Exception):
    """The bot does not do what was asked; the message is one kind, exact sentence for the member."""

    code: ClassVar[str] = "refused"


class NotHere(Refusal):
    """The member may not use the bot here, which will not change soon. ``in_public`` is the sentence for a channel."""

    def __init__(self, sentence: str, in_public: str | None = None) -> None:
        super().__init__(sentence)
        self.in_public = in_public or sentence


RESTARTING = "I'm restarting; please ask again in a minute."
"""What a member is told in the last moment before the program ends, when nothing can be kept any more."""


class Restarting(Refusal):
    """The program is about to end, and can neither do nor keep anything."""

    def __init__(self) -> None:
        super().__init__(RESTARTING)


class StartupError(Exception):
    """The program cannot start; the message tells the operator in one sentence what to do."""

    exit_status: ClassVar[int] = 2


class DeviceGone(StartupError):
    """The device stopped working for good: a supervisor must restart the program."""

    exit_status: ClassVar[int] = 70
