"""Downloads what members attach: one picture of each member at a time, few in all, and so many bytes in 24 hours.

The order is: everything that can be refused without the picture; then a slot; then that again, since other requests
were taken in meanwhile; then the bytes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import discord

from bot.errors import Refusal
from bot.media.untrusted_images import DecodedImage, ImageReader, too_many_bytes
from bot.plurals import counted
from bot.store.database import Database
from bot.store.downloads import OverBudget, book
from bot.views.downloads import fetch_attachment

_AT_ONCE = 4
_WAITING_MAX = 10
"""The most pictures of a member that are read or wait to be."""
_MB = 2**20


@dataclass(slots=True)
class _Line:
    """A member's requests that read a picture: one of them at a time, in the order in which they came."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    length: int = 0


class MemberDownloads:
    """Downloads and decodes attachments.

    ``limit_bytes`` bounds a file, ``budget`` the bytes of a member in 24 hours, None for no limit.
    """

    def __init__(self, database: Database, limit_bytes: int, budget: int | None) -> None:
        self._database = database
        self.reader = ImageReader(limit_bytes=limit_bytes)
        self._budget = budget
        self._lines: dict[int, _Line] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def check_line(self, member_id: int) -> None:
        """Raise :class:`Refusal` if too many pictures of the member wait to be read."""
        line = self._lines.get(member_id)
        if line is not None and line.length >= _WAITING_MAX:
            waiting = counted(line.length, "picture")
            raise Refusal(f"I am still reading {waiting} of yours; please ask again when one of them is done.")

    @asynccontextmanager
    async def slot(self, member_id: int) -> AsyncIterator[None]:
        """Wait for the member's turn and for a slot, and hold both until the block ends.

        A member has one place at most in the line for slots, so nobody waits for all requests of another. Raises
        :class:`Refusal` if too many pictures of the member wait.
        """
        self.check_line(member_id)
        line = self._lines.setdefault(member_id, _Line())
        line.length += 1
        try:
            async with line.turn, self._slots:
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[member_id]

    async def read(self, attachment: discord.Attachment, member_id: int) -> DecodedImage:
        """Return an attachment's pixels. Call it in a :meth:`slot`.

        Raises :class:`Refusal` if it is no picture within the limits, or the member's budget is used up.
        """
        if attachment.size > self.reader.limit_bytes:
            raise too_many_bytes(attachment.size, self.reader.limit_bytes)
        try:
            await self._database.write(
                partial(book, member_id=member_id, size=attachment.size, budget=self._budget, now=int(time.time()))
            )
        except OverBudget as over:
            raise Refusal(_over_budget(over)) from over
        return await self.reader.read(await fetch_attachment(attachment, self.reader.limit_bytes), member_id)


def _over_budget(over: OverBudget) -> str:
    wanted, budget = _megabytes(over.wanted), f"{over.budget / _MB:g} MB"
    if over.again_at is None:
        return f"That file has {wanted}, and I read {budget} of a member in 24 hours: please send a smaller one."
    return (
        f"That file has {wanted}, and you have given me {_megabytes(over.used)} of the {budget} that I read of a "
        f"member in 24 hours. Send a smaller one, or ask again <t:{over.again_at}:R>."
    )


def _megabytes(size: int) -> str:
    return f"{size / _MB:.1f} MB"
