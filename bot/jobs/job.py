"""A job in memory: what was asked for, what was inserted, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast

from bot.plurals import counted
from bot.requests.originals import Original
from bot.requests.prompt_notes import prompt_notes
from bot.requests.spec import ImageSpec
from bot.store.job_rows import JobRow
from bot.store.limits import Requester
from bot.store.reply_tokens import ReplyToken, Visibility
from zimage_engine.types import RawImage

Kind = Literal["imagine", "edit", "vary", "again", "upscale"]

_TYPED: tuple[Kind, ...] = ("imagine", "edit")
"""The kinds of jobs whose prompt a member has just typed."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job to run, before it is admitted.

    ``event_id`` is the id of the interaction or message that asks for it, ``channel_id`` where the result goes.
    ``reply`` is the way to an interaction's own response, and ``response_file_limit`` the largest file in bytes that
    it takes. An edit has an ``original`` until that is stored and its ``spec`` names the files; then nothing keeps its
    pixels in memory. It also has a ``parent_image_id`` if that is an image of the bot's, and an
    ``original_link`` to its message. ``defaults`` says in sentences what was decided for the member: their own settings
    that were applied, another model than the picture's. With ``spoiler`` pictures are hidden until somebody clicks.
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
    def is_edit(self) -> bool:
        return self.original is not None or bool(self.spec.original)

    def with_stored(self, image: str, mask: str) -> JobRequest:
        """Return the request with the names of its original's files instead of the pixels; ``mask`` "" for none."""
        return replace(self, spec=replace(self.spec, original=image, mask=mask), original=None)

    @property
    def notes(self) -> str:
        """What has no meaning in a prompt that the member typed; "" for nothing."""
        return prompt_notes(self.spec.prompt) if self.kind in _TYPED else ""

    @property
    def scope_id(self) -> int:
        """The server where its credits count, or 0 in direct messages and if the member installed the bot."""
        return self.requester.scope_id

    @property
    def guild_id(self) -> int | None:
        return self.requester.guild_id


class UnreadableRow(Exception):
    """A job's row is damaged, or was written by a program that this one does not understand."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job that was inserted. ``credits`` is its price in 1/100; ``image_ids`` are the images' public ids, in order.

    Discord drops a message whose ``nonce`` was used before. ``created_at`` in UTC seconds.

    ``concurrent_jobs`` is how many jobs of its owner may run at a time, None if unlimited. ``attempts`` counts the
    times that the process or the device stopped while the job was on the device.
    """

    id: int
    request: JobRequest
    credits: int
    image_ids: tuple[str, ...]
    nonce: str
    created_at: int
    concurrent_jobs: int | None = None
    attempts: int = 0

    @classmethod
    def from_row(cls, row: JobRow) -> Job:
        """Return the job of a row. Raises :class:`UnreadableRow`."""
        try:
            spec = ImageSpec.from_json(row.spec)
        except (ValueError, TypeError, AttributeError) as error:
            raise UnreadableRow(f"the spec of job {row.id} cannot be read ({error})") from error
        request = JobRequest(
            event_id=row.event_id,
            spec=spec,
            count=len(row.images),
            requester=Requester(row.owner_id, row.scope_id, row.guild_id),
            channel_id=row.channel_id,
            visibility=row.visibility,
            reply=row.reply,
            response_file_limit=row.response_file_limit,
            kind=cast("Kind", row.kind),
            parent_image_id=row.parent_image_id,
            original_link=row.original_link,
            defaults=row.defaults,
            spoiler=row.spoiler,
        )
        image_ids = tuple(image.id for image in row.images)
        return cls(
            row.id, request, row.credits, image_ids, row.nonce, row.created_at, row.concurrent_jobs, row.attempts
        )

    @property
    def private(self) -> bool:
        return self.request.visibility == "private"


ProgressState = Literal[
    "loading",
    "recovering",
    "held",
    "paused",
    "draining",
    "kept",
    "waiting",
    "queued",
    "running",
    "cancelling",
    "delivering",
]


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is, to be shown on its card and in ``/queue``.

    ``loading``, ``recovering``: the model is being loaded, after a worker was lost for the second; since a time in UTC
    seconds, ``stage`` says how far that is. ``held``: it waits for its owner's other jobs; ``paused``: for an admin to
    resume, or for the operator (``by_operator``); ``draining``: for the operator to restart the program or to go on;
    ``kept``: for a restart; ``waiting``: for a job that runs alone. ``cancelling``: for the running step to end.

    ``position`` counts what goes first: its owner's jobs if it is held, else pictures of other jobs; None if unknown.
    ``ready_at`` is when the result is expected, in UTC seconds, None if unknown. ``previews`` are small pictures of the
    images that are being rendered, in order. ``restarted``: it was interrupted, and has not been on the device since.
    """

    state: ProgressState
    position: int | None = None
    ready_at: float | None = None
    steps_done: int = 0
    steps_total: int = 0
    images_done: int = 0
    previews: tuple[RawImage, ...] = ()
    restarted: bool = False
    since: float | None = None
    stage: str = ""
    by_operator: bool = False


def result_note(row: JobRow, about_prompt: str = "") -> str:
    """Return what to tell the member beside the pictures; empty if there is nothing.

    ``about_prompt`` are the notes of :attr:`JobRequest.notes`.
    """
    failed = sum(image.state == "failed" for image in row.images)
    cancelled = sum(image.state == "cancelled" for image in row.images)
    notes: list[str] = []
    if failed:
        were = "was" if failed == 1 else "were"
        notes.append(f"{failed} of {counted(len(row.images), 'picture')} failed and {were} not charged.")
    if cancelled:
        were = "was" if cancelled == 1 else "were"
        notes.append(f"{cancelled} of {counted(len(row.images), 'picture')} {were} cancelled.")
    if row.defaults:
        notes.append(row.defaults)
    if about_prompt:
        notes.append(about_prompt)
    if row.truncated:
        notes.append("The prompt was longer than the 512 tokens the model reads; its end had no effect.")
    return " ".join(notes)
