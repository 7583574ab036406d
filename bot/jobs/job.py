"""A job as the program carries it from the command to the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.requests.originals import Original
from bot.requests.spec import ImageSpec
from bot.store.jobs import ReplyToken, Visibility
from bot.store.limits import Requester
from zimage_engine.types import RawImage

Kind = Literal["imagine", "edit", "vary", "again", "upscale"]


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a member asks for, who and where: everything :meth:`JobService.run` needs.

    ``event_id`` is the interaction's or message's id, ``requester`` who asks and where; ``channel_id`` is where the
    result goes. ``response_file_limit`` is the largest file in bytes that the interaction's own response takes. An
    edit has the ``original`` that it starts from, the image's id where it is one of ours, and a link to where that
    stands. ``defaults`` says which of the member's own settings were applied; with ``spoiler`` pictures are hidden
    until somebody clicks.
    """

    event_id: int
    spec: ImageSpec
    count: int
    requester: Requester
    channel_id: int
    visibility: Visibility
    reply: ReplyToken | None
    response_file_limit: int | None = None
    kind: Kind = "imagine"
    original: Original | None = None
    parent_image_id: str | None = None
    original_link: str | None = None
    defaults: str = ""
    spoiler: bool = False

    @property
    def owner_id(self) -> int:
        return self.requester.member_id

    @property
    def scope_id(self) -> int:
        """The server where credits count, or 0."""
        return self.requester.scope_id

    @property
    def guild_id(self) -> int | None:
        return self.requester.guild_id


@dataclass(frozen=True, slots=True)
class Job:
    """A job that stands in the database. ``credits`` in 1/100; ``image_ids`` are the images' public ids, in order.

    ``concurrent_jobs`` is how many jobs of its owner may run at a time, None if unlimited.
    """

    id: int
    request: JobRequest
    credits: int
    image_ids: tuple[str, ...]
    nonce: str
    created_at: int
    concurrent_jobs: int | None = None

    @property
    def private(self) -> bool:
        return self.request.visibility == "private"


@dataclass(frozen=True, slots=True)
class JobProgress:
    """The newest state of a job, for people. ``eta`` in seconds, ``position`` requests go first.

    ``held`` waits for its owner's other jobs, ``paused`` for an admin.

    ``previews`` are the newest looks at the images that are being drawn, in order.
    """

    state: Literal["loading", "held", "paused", "queued", "running"]
    position: int = 0
    eta: float | None = None
    steps_done: int = 0
    steps_total: int = 0
    images_done: int = 0
    previews: tuple[RawImage, ...] = ()
