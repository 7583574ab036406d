"""A job as the program carries it from the command to the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.jobs.sources import Source
from bot.jobs.spec import ImageSpec
from bot.store.jobs import ReplyToken, Visibility
from zimage_engine.types import RawImage

Kind = Literal["imagine", "edit", "vary", "again", "upscale"]


@dataclass(frozen=True, slots=True)
class Order:
    """What a member asks for, who and where: everything :meth:`JobService.submit` needs.

    ``source_id`` is the interaction's or message's id. ``scope_id`` is the server where credits count, or 0;
    ``response_file_limit`` is the largest file in bytes that the interaction's own response takes. An edit has the
    ``source`` that it starts from, the image's id where it is one of ours, and a link to where that stands.
    """

    source_id: int
    spec: ImageSpec
    count: int
    owner_id: int
    scope_id: int
    guild_id: int | None
    channel_id: int
    visibility: Visibility
    reply: ReplyToken | None
    response_file_limit: int | None = None
    kind: Kind = "imagine"
    source: Source | None = None
    parent_image_id: str | None = None
    source_link: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job that stands in the database. ``credits`` in 1/100; ``image_ids`` are the images' public ids, in order."""

    id: int
    order: Order
    credits: int
    image_ids: tuple[str, ...]
    nonce: str
    created_at: int

    @property
    def private(self) -> bool:
        return self.order.visibility == "private"


@dataclass(frozen=True, slots=True)
class JobProgress:
    """The newest state of a job, for people. ``eta`` in seconds, ``position`` requests go first.

    ``previews`` are the newest looks at the images that are being drawn, in order.
    """

    state: Literal["loading", "queued", "running"]
    position: int = 0
    eta: float | None = None
    steps_done: int = 0
    steps_total: int = 0
    images_done: int = 0
    previews: tuple[RawImage, ...] = ()
