"""What jobs need from Discord, as small protocols, and the policy of delivering a result.

The result is an ordinary message in the channel; where that cannot be, the interaction's own response; else a
direct message. ``bot/views/outbox.py`` implements the protocols.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from bot.jobs.job import Job
from bot.media.metadata import shrink

log = structlog.get_logger(__name__)

REQUEST_LIMIT = 25 * 2**20 - 2**16
"""Discord takes 25 MiB in one request; a little is left for the message's text."""


class Undeliverable(Exception):
    """This way is closed (no permission, channel gone, token expired); the next one may be open."""


class ResultTooLarge(Exception):
    """The pictures do not fit this way even as small WebPs."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A rendered image: its public id, its seed, and the PNG with its parameters."""

    id: str
    seed: int
    png: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """What a job has to show: its pictures, and what the member should know.

    ``waited`` are the seconds since it was asked for, ``device_seconds`` those the pictures took on the device.
    """

    pictures: list[Picture]
    waited: float
    device_seconds: float
    note: str


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file to send: its name and its bytes, within the way's limits."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Posted:
    """Where the result message is."""

    channel_id: int
    message_id: int


class Destination(Protocol):
    """One way to deliver a result. ``limit`` is the largest file in bytes it takes."""

    name: str

    async def limit(self) -> int:
        """Raises :class:`Undeliverable` where the way is known to be closed."""
        ...

    async def post(self, job: Job, result_files: list[ResultFile], result: Result) -> Posted:
        """Send the result. Raises :class:`Undeliverable` where the way turns out to be closed."""
        ...


async def deliver(job: Job, destinations: list[Destination], result: Result) -> Posted:
    """Post the result by the first way that is open; :class:`Undeliverable` where none is."""
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
    """The pictures as files of at most ``file_limit`` bytes that fit into one request together."""
    limit = min(file_limit, REQUEST_LIMIT // len(pictures))
    result_files: list[ResultFile] = []
    for picture in pictures:
        try:
            data, suffix = await asyncio.get_running_loop().run_in_executor(None, partial(shrink, picture.png, limit))
        except ValueError as error:
            raise ResultTooLarge(str(error)) from error
        result_files.append(ResultFile(f"zimage-{picture.id}.{suffix}", data))
    return result_files
