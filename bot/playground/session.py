"""The playground as a whole: the simulated Discord, the real bot in it, and what a visitor can do to them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Literal

from bot.client import ZImageBot
from bot.playground.avatars import set_avatars
from bot.playground.community import create_community
from bot.playground.faults import Faults, FaultSwitches
from bot.playground.faulty_device import DeviceFaults
from bot.playground.live_env import LiveEnv
from bot.playground.live_preview import LivePreview
from bot.playground.page_server import PageServer
from bot.playground.simcord_parts import check_simcord
from bot.playground.world import World

BotState = Literal["starting", "loading", "ready", "restarting", "failed"]
CreateClient = Callable[[DeviceFaults], ZImageBot]
"""Returns a client that is not yet connected, over a device with these faults."""
BOT_NAME = "zimage-bot"
_CLEANING_SECONDS = 60.0
_DETACH_SECONDS = 0.3
"""How long the end waits for threads that SimCord knows of: one that imports torch cannot be stopped."""


class Playground:
    """An open playground: its page is served, and its bot starts behind it."""

    def __init__(self, env: LiveEnv, device: DeviceFaults, create: CreateClient, port: int) -> None:
        self.env = env
        self.community = create_community(env)
        users = {person.name: person.user._user for person in self.community.people}
        set_avatars(env.backend, users | {BOT_NAME: env.backend.bot_user})
        first = self.community.places[0]
        self.faults = FaultSwitches(Faults(World(env, first.channel, self.community.people[0].member), device))
        self.preview = LivePreview(env, self.community)
        self.server = PageServer(self, port)
        self.preview._server = self.server
        self.bot_state: BotState = "starting"
        self.failure: str | None = None
        self._create = partial(create, device)
        # SimCord answers the webhooks only of the context in which it attached the bot.
        self._context = contextvars.copy_context()
        self._starting = self._create_task(self._start())

    async def ready(self) -> None:
        """Wait until the model is loaded. Raises :class:`StartupError` or :class:`EngineError` if it cannot be."""
        await asyncio.shield(self._starting)

    async def restart_bot(self) -> None:
        """Close the bot as SIGTERM does, and start a new client on the same data; jobs go on where they were.

        Does nothing until the bot has started and loaded its model, or has failed to.
        """
        if self.bot_state not in ("ready", "failed"):
            return
        self.bot_state = "restarting"
        await self._stop_starting()
        self._starting = self._create_task(self._restart())
        await asyncio.wait([self._starting])

    async def close(self) -> None:
        """Stop the bot and the simulated Discord."""
        self.faults.close()
        self.env.settle_timeout = _DETACH_SECONDS
        await self._stop_starting()
        await self._create_task(self._shut_down())

    def _create_task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.create_task(coroutine, name="playground bot", context=self._context)

    async def _shut_down(self) -> None:
        await self.env.bot.close()
        with contextlib.suppress(TimeoutError):
            await self.env.shutdown()

    async def _start(self) -> None:
        async with self.preview.turn():
            await self._or_failed(self.env.start)
        await self._load()

    async def _restart(self) -> None:
        async with self.preview.turn():
            await self.env.bot.close()
            await self._or_failed(lambda: self.env.restart_bot(self._create()))
        await self._load()

    async def _load(self) -> None:
        self.bot_state = "loading"
        await self._or_failed(self.env.bot.model_ready)
        self.bot_state = "ready"

    async def _or_failed(self, action: Callable[[], Awaitable[object]]) -> None:
        try:
            await action()
        except Exception as error:
            self.bot_state, self.failure = "failed", str(error)
            raise

    async def _stop_starting(self) -> None:
        self._starting.cancel()
        await asyncio.wait([self._starting])
        if not self._starting.cancelled():
            self._starting.exception()  # it has been told by ready() and on the page


@contextlib.asynccontextmanager
async def open_playground(create: CreateClient, port: int = 0) -> AsyncIterator[Playground]:
    """Serve the page on loopback and start the bot behind it; ends both at the end.

    ``create`` is called now and for each restart.
    Raises simcord's ``SetupError`` if the port is taken, and :class:`StartupError` if SimCord does not fit.
    """
    check_simcord()
    device = DeviceFaults()
    env = LiveEnv(create(device))
    env.backend.bot_user.name = BOT_NAME
    playground = Playground(env, device, create, port)
    try:
        async with playground.preview:
            cleaning = asyncio.create_task(_drop_unused_attachments(env), name="playground cleaning")
            try:
                yield playground
            finally:
                cleaning.cancel()
                await asyncio.wait([cleaning])
    finally:
        await playground.close()


async def _drop_unused_attachments(env: LiveEnv) -> None:
    while True:
        await asyncio.sleep(_CLEANING_SECONDS)
        env.drop_unused_attachments()
