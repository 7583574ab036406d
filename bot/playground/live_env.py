"""A simulated Discord that runs on the machine's clock and waits for answers as a person would.

SimCord is made for tests: its time stands still, and an action returns when the bot has nothing left to do. On a page
that people look at, time passes, and a click returns when it is answered while a picture is still being generated.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import discord
import simcord
from simcord import _dpy_internals

from bot.client import ZImageBot

ANSWER_SECONDS = 3.0
"""How long Discord waits for the answer to an interaction."""
_MESSAGE_SECONDS = 0.1
_POLL_SECONDS = 0.01
_SETTLED_SECONDS = 0.02
_UNUSED_FILES_KEPT = timedelta(minutes=15)  # for interactions whose answer may still read them
_ATTACHMENTS = "/attachments/"
_LOGGED = 1000


class WallClock:
    """SimCord's clock, but real: UTC, and seconds that pass by themselves."""

    @property
    def elapsed(self) -> float:
        return _dpy_internals.real_monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        """Do nothing: time passes by itself."""


class LiveEnv(simcord.Env):
    """An ``Env`` on real time; actions return when their interaction is answered, or after three seconds."""

    def __init__(self, client: ZImageBot) -> None:
        intents = discord.Intents.default()
        intents.message_content = client.intents.message_content  # as if the portal granted what the bot asks for
        super().__init__(client, approved_intents=intents, settle_timeout=ANSWER_SECONDS, shard_count=1)
        self.backend.clock = WallClock()
        # SimCord's logs, of all requests and events, are for tests: here each step of a picture would add to them.
        self.backend.http_requests = deque(maxlen=_LOGGED)
        self.backend.transcript = deque(maxlen=_LOGGED)
        # The bot does not send its commands again to an application that it knows from the data of an earlier visit.
        self.backend.application_id = self.backend.snowflake()
        self._dispatched: contextvars.ContextVar[Any] = contextvars.ContextVar("dispatched", default=None)
        self._register_dispatch_observer(self._dispatched.set)

    def drop_unused_attachments(self) -> None:
        """Forget files that no message has and that are older than a quarter of an hour.

        SimCord keeps each file that was ever sent, and each step of a picture sends a preview.
        """
        used = {
            str(attachment["url"])
            for messages in self.backend.messages.values()
            for message in messages.values()
            for attachment in message.attachments
        }
        oldest = discord.utils.time_snowflake(self.now() - _UNUSED_FILES_KEPT)
        blobs = self.backend.cdn._blobs
        for url in [url for url in blobs if _ATTACHMENTS in url and url not in used]:
            if int(url.split("/")[-2]) < oldest:
                del blobs[url]

    def _record_error(self, error: BaseException) -> None:
        """Keep no errors: the bot answers and logs its own, and a refused command is sent all the same."""

    async def _settle_internal(self, *, dispatch: str | None = None, **_: Any) -> None:
        """Wait for the answer to the interaction that this task has sent; for anything else a moment."""
        interaction = self._dispatched.get()
        if dispatch != "INTERACTION_CREATE" or interaction is None:
            await asyncio.sleep(_MESSAGE_SECONDS)
            return
        end = _dpy_internals.real_monotonic() + ANSWER_SECONDS
        while not interaction.responded and _dpy_internals.real_monotonic() < end:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(_POLL_SECONDS)
        await asyncio.sleep(_SETTLED_SECONDS)  # for messages that follow the answer at once

    def _schedule_timer(
        self, record: Any, callback: Any, args: tuple[Any, ...], schedule_context: contextvars.Context | None
    ) -> None:
        """Let the event loop run the bot's timers, as without SimCord."""
        del callback, args
        assert self._runtime is not None
        assert self._loop is not None
        seconds = max(record.when - self._virtual_time, 0.0)

        def fire() -> None:
            if record.handle is not None and not record.handle.cancelled():
                record.handle._run()

        record.real_handle = self._runtime.call_at(self._loop.time() + seconds, fire, context=schedule_context)
