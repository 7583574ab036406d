"""The pause between two things that cost a member no credits."""

from __future__ import annotations

from bot.errors import Refusal
from bot.throttle import Throttle

_SECONDS = 2.0


class FreeWorkThrottle(Throttle[int]):
    """A pause for each member, by their id."""

    def __init__(self) -> None:
        super().__init__(_SECONDS)

    def check(self, member: int) -> None:
        """Start the member's pause. Raises :class:`Refusal` if they are in one."""
        if not self.take(member):
            raise Refusal("One moment: ask again in two seconds.")
