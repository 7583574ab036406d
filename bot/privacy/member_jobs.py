"""What of the jobs exports and deletions of members' data need."""

from __future__ import annotations

from typing import Protocol

from bot.requests.originals import OriginalFolder


class MemberJobs(Protocol):
    """What of the jobs deleting a member's data needs: :class:`bot.jobs.service.JobService` has it."""

    @property
    def live(self) -> set[int]: ...

    @property
    def originals(self) -> OriginalFolder: ...

    @property
    def cancellation(self) -> MemberCancellation: ...

    def forget_prompts(self, member_id: int) -> None: ...


class MemberCancellation(Protocol):
    """Cancels the jobs of a member: :class:`bot.jobs.cancellation.Cancellation` does."""

    async def cancel_all_of(self, member_id: int) -> int: ...
