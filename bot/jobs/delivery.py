"""Deliver a result to the first destination that takes it.

A result is a message in the channel, else the interaction's own response, else a direct message.
``bot/views/outbox.py`` implements the destinations.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from bot.jobs.job import Job
from bot.jobs.upload_limits import REQUEST_LIMIT
from bot.media.metadata import shrink

log = structlog.get_logger(__name__)


class Undeliverable(Exception):
    """A destination cannot be reached (no permission, channel gone, token expired); another one may be."""


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

    ``waited`` are the seconds since it first went to the engine, ``device_seconds`` those it took on the device.
    """

    pictures: list[Picture]
    waited: float
    device_seconds: float
    note: str


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
    """A place in Discord where a result can be posted; ``name`` is for the log."""

    name: str

    async def limit(self) -> int:
        """Return the largest file in bytes that it takes. Raises :class:`Undeliverable` if it cannot be reached."""
        ...

    async def post(self, job: Job, result_files: list[ResultFile], result: Result) -> Posted:
        """Send the result, after :meth:`limit` was called. Raises :class:`Undeliverable` if that fails."""
        ...


async def deliver(job: Job, destinations: list[Destination], result: Result) -> Posted:
    """Post the result to the first destination that takes it. Raises :class:`Undeliverable` if none does."""
    reasons: list[str] = []
    for destination in destinations:
        try:
            limit = await destination.limit()
            result_files = await fit(result.pictures, limit)
            return await destination.post(job, result_files, result)
        except (Undeliverable, ResultTooLarge) as error:
            log.warning("delivery_way_closed", job=job.id, way=destination.name, reason=str(error))
            reasons.append(f"{destination.name}: {error}")
    raise Undeliverable("; ".join(reasons))


async def fit(pictures: list[Picture], file_limit: int) -> list[ResultFile]:
    """Return the pictures as files of at most ``file_limit`` bytes each that fit into one request together.

    Too large a PNG becomes a WebP. Raises :class:`ResultTooLarge` if even that is too large.
    """
    limit = min(file_limit, REQUEST_LIMIT // len(pictures))
    result_files: list[ResultFile] = []
    for picture in pictures:
        try:
            data, suffix = await asyncio.get_running_loop().run_in_executor(None, partial(shrink, picture.png, limit))
        except ValueError as error:
            raise ResultTooLarge(str(error)) from error
        result_files.append(ResultFile(f"zimage-{picture.id}.{suffix}", data))
    return result_files
