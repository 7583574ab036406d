"""A job in memory: what was asked for, what was inserted, and how far it is."""

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
    """A job to run, before it is admitted.

    ``event_id`` is the id of the interaction or message that asks for it, ``channel_id`` where the result goes.
    ``reply`` is the way to an interaction's own response, and ``response_file_limit`` the largest file in bytes that
    it takes. An edit has an ``original``; also a ``parent_image_id`` if that is an image of the bot's, and an
    ``original_link`` to its message. ``defaults`` names in a few words the member's own settings that were applied.
    With ``spoiler`` pictures are hidden until somebody clicks.
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
        """The server where its credits count, or 0 in direct messages and if the member installed the bot."""
        return self.requester.scope_id

    @property
    def guild_id(self) -> int | None:
        return self.requester.guild_id


@dataclass(frozen=True, slots=True)
class Job:
    """A job that was inserted. ``credits`` is its price in 1/100; ``image_ids`` are the images' public ids, in order.

    Discord drops a message whose ``nonce`` was used before. ``created_at`` in UTC seconds.

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
    """How far a job is, to be shown on its card.

    ``held``: it waits for its owner's other jobs; ``paused``: for an admin to resume. ``position`` counts the engine's
    requests that go first, ``eta`` the seconds until the result, None if unknown. ``previews`` are small pictures of
    the images that are being rendered, in order.
    """

    state: Literal["loading", "held", "paused", "queued", "running"]
    position: int = 0
    eta: float | None = None
    steps_done: int = 0
    steps_total: int = 0
    images_done: int = 0
    previews: tuple[RawImage, ...] = ()
