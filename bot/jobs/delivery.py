"""Deliver a result to the first destination that takes it.

A result is a message in the channel, else the interaction's own response, else a direct message.
``bot/views/outbox.py`` implements the destinations.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from bot.jobs.job import Job
from bot.jobs.upload_limits import REFUSED_FILE_LIMIT, REQUEST_LIMIT
from bot.media.metadata import shrink
from bot.store.job_rows import JobRow

log = structlog.get_logger(__name__)


class Undeliverable(Exception):
    """A destination refuses a result for good (no permission, channel gone, token expired); another may take it.

    ``missing`` names the permissions that the bot lacks in the channel, as Discord's settings show them.
    """

    def __init__(self, reason: str, missing: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.missing = missing


class Outage(Exception):
    """Discord does not answer, or not in a way that can be read: whether the result was posted is unknown.

    No other destination may be tried now; the delivery is repeated later.
    """


class OwnerMustAsk(Exception):
    """A private result may have been shown before, and its token has expired, so nothing can tell whether it was.

    It is never posted again by itself: the owner may ask for it.
    """


class TooLargeForDiscord(Exception):
    """Discord refused a request because of its size, although the files were within the destination's limit."""


class ResultTooLarge(Exception):
    """The pictures are over a destination's limit even as small WebPs."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A rendered image: its public id, its seed, and the PNG with its parameters."""

    id: str
    seed: int
    png: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """What a job delivers: its pictures, and a ``note`` for the member, which may be empty.

    With ``names_model`` its text says which model made them: there is a choice of models.
    ``waited`` are the seconds since it was asked for, ``device_seconds`` those it took on the device.
    """

    pictures: list[Picture]
    waited: float
    device_seconds: float
    note: str
    names_model: bool = False


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file to send, within the destination's limits."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Posted:
    """The message that holds the result."""

    channel_id: int
    message_id: int


class Destination(Protocol):
    """A place in Discord where a result can be posted; ``name`` is for the log.

    Every method raises :class:`Undeliverable` if the place cannot be reached, and :class:`Outage`.
    """

    name: str

    async def limit(self) -> int:
        """Return the largest file in bytes that it takes."""
        ...

    async def post(self, job: Job, result_files: list[ResultFile], result: Result) -> Posted:
        """Send the result, after :meth:`limit` was called. Raises :class:`TooLargeForDiscord`."""
        ...

    async def find(self, job: Job) -> Posted | None:
        """Return the message of an earlier attempt; None if there is none, or the place does not let the bot look."""
        ...


async def deliver(job: Job, destinations: list[Destination], result: Result, *, look_first: bool) -> Posted:
    """Post the result to the first destination that takes it.

    With ``look_first``, an earlier attempt may have posted it: if a destination has its message, that is returned.
    Raises :class:`Undeliverable` if no destination takes it, :class:`Outage`, and :class:`OwnerMustAsk`.
    """
    if look_first:
        posted = await _find(job, destinations)
        if posted is not None:
            return posted
        if job.private and _token_expired(job):
            raise OwnerMustAsk("the interaction of a private result has expired")
    refusals: list[tuple[str, Exception]] = []
    for destination in destinations:
        try:
            return await _post(job, destination, result)
        except (Undeliverable, ResultTooLarge) as error:
            log.warning("delivery_way_closed", job=job.id, way=destination.name, reason=str(error))
            refusals.append((destination.name, error))
    missing = [name for _, error in refusals if isinstance(error, Undeliverable) for name in error.missing]
    raise Undeliverable("; ".join(f"{name}: {error}" for name, error in refusals), tuple(missing))


async def _find(job: Job, destinations: list[Destination]) -> Posted | None:
    """Return the message of an earlier attempt; None if no destination has it."""
    for destination in destinations:
        try:
            posted = await destination.find(job)
        except Undeliverable as error:
            log.info("delivery_not_looked_for", job=job.id, way=destination.name, reason=str(error))
            continue
        if posted is not None:
            log.info("delivery_found", job=job.id, way=destination.name, message=posted.message_id)
            return posted
    return None


async def find_once_more(job: Job, destinations: list[Destination], seconds: float) -> Posted | None:
    """Return the message of an earlier attempt; None if it is not found, or Discord does not answer in ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            return await _find(job, destinations)
    except (Outage, TimeoutError) as error:
        log.warning("delivery_not_looked_for", job=job.id, way="all", reason=type(error).__name__)
    return None


async def _post(job: Job, destination: Destination, result: Result) -> Posted:
    """Post the result to one destination; once more with smaller files if Discord says that it is too large."""
    result_files = await fit(result.pictures, await destination.limit())
    try:
        return await destination.post(job, result_files, result)
    except TooLargeForDiscord as error:
        log.warning("delivery_too_large", job=job.id, way=destination.name, reason=str(error))
    result_files = await fit(result.pictures, REFUSED_FILE_LIMIT, request_limit=REFUSED_FILE_LIMIT)
    try:
        return await destination.post(job, result_files, result)
    except TooLargeForDiscord as error:
        raise ResultTooLarge(str(error)) from error


def _token_expired(job: Job) -> bool:
    reply = job.request.reply
    return reply is None or reply.expires_at <= time.time()


async def fit(pictures: list[Picture], file_limit: int, request_limit: int = REQUEST_LIMIT) -> list[ResultFile]:
    """Return the pictures as files of at most ``file_limit`` bytes each, and together at most ``request_limit``.

    Too large a PNG becomes a WebP. Raises :class:`ResultTooLarge` if even that is too large.
    """
    limit = min(file_limit, request_limit // len(pictures))
    result_files: list[ResultFile] = []
    for picture in pictures:
        try:
            data, suffix = await asyncio.get_running_loop().run_in_executor(None, partial(shrink, picture.png, limit))
        except ValueError as error:
            raise ResultTooLarge(str(error)) from error
        result_files.append(ResultFile(f"zimage-{picture.id}.{suffix}", data))
    return result_files


def read_pictures(image_dir: Path, row: JobRow) -> tuple[list[Picture], list[int]]:
    """Return the rendered images in order, and the positions of those whose files are gone. Blocks.

    Raises :class:`OSError` if a file cannot be read now, such as when too many are open.
    """
    pictures: list[Picture] = []
    lost: list[int] = []
    for image in row.images:
        if image.state != "rendered" or image.file is None:
            continue
        try:
            pictures.append(Picture(image.id, image.seed, (image_dir / image.file).read_bytes()))
        except FileNotFoundError as error:
            log.warning("picture_lost", job=row.id, image=image.id, reason=str(error))
            lost.append(image.position)
    return pictures, lost
