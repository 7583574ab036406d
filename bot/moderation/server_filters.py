"""The word filters of servers, compiled when they are needed and kept as far as there is room."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Final

from bot.moderation.word_filter import WordFilter
from bot.store.database import Database
from bot.store.moderation import words_of

KEPT_BYTES_MAX: Final = 64 * 1024 * 1024
KEPT_SERVERS_MAX: Final = 1000


@dataclass(slots=True)
class _Line:
    """The prompts of a server that wait to be searched."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    length: int = 0


class ServerFilters:
    """Keeps the filters of the servers that were used last, of at most ``bytes_max`` together; the newest always."""

    def __init__(
        self, database: Database, bytes_max: int = KEPT_BYTES_MAX, servers_max: int = KEPT_SERVERS_MAX
    ) -> None:
        self._database = database
        self._bytes_max = bytes_max
        self._servers_max = servers_max
        self._kept: OrderedDict[int, WordFilter] = OrderedDict()
        self._bytes = 0
        self._changes = 0
        self._compiling = asyncio.Lock()
        self._checking = asyncio.Lock()
        self._lines: defaultdict[int, _Line] = defaultdict(_Line)

    def __len__(self) -> int:
        """Return the number of filters that are kept."""
        return len(self._kept)

    async def of(self, guild_id: int) -> WordFilter:
        """Return a server's filter as its words are now."""
        if (kept := self._kept.get(guild_id)) is not None:
            self._kept.move_to_end(guild_id)
            return kept
        async with self._compiling:  # many requests at once of a server compile its patterns once
            if (kept := self._kept.get(guild_id)) is not None:
                return kept
            changes = self._changes
            listed = await words_of(self._database, guild_id)
            compiled = await asyncio.to_thread(WordFilter, listed, guild_id)
            if changes == self._changes:  # else what was read may be out of date
                self._keep(guild_id, compiled)
            return compiled

    async def check(self, guild_id: int, prompt: str) -> None:
        """Raise :class:`Refusal` if the prompt has a word or a pattern that the server's admins forbid.

        One prompt is searched at a time, since the worst patterns that are taken keep a core busy for most of a second;
        a server has one place in that line, so that it delays the others by one prompt at most.
        """
        words = await self.of(guild_id)
        if not words:
            return
        line = self._lines[guild_id]
        line.length += 1
        try:
            async with line.turn, self._checking:
                await asyncio.to_thread(words.check, prompt)
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[guild_id]

    def forget(self, guild_id: int) -> None:
        """Read a server's words again when they are needed next: they have changed."""
        self._changes += 1
        self._remove(guild_id)

    def _keep(self, guild_id: int, compiled: WordFilter) -> None:
        self._kept[guild_id] = compiled
        self._bytes += compiled.size
        while len(self._kept) > 1 and (self._bytes > self._bytes_max or len(self._kept) > self._servers_max):
            self._remove(next(iter(self._kept)))

    def _remove(self, guild_id: int) -> None:
        if (removed := self._kept.pop(guild_id, None)) is not None:
            self._bytes -= removed.size
