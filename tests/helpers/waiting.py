"""Waiting for a condition, not for time to pass; and not waiting for what a test holds up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bot.playground.world import World

_HELD_SECONDS = 0.5


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until ``condition()`` is true; fails the test if it is not within ``seconds``."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, "it never came to be"
        await asyncio.sleep(0.01)


async def leave_running(world: World, action: Awaitable[object]) -> None:
    """Do a member's action while a test holds up a job: SimCord would wait until nothing is going on any more.

    The bot may still be at it on return: wait for what it does with :func:`until`.
    """
    patience, world.env.settle_timeout = world.env.settle_timeout, _HELD_SECONDS
    try:
        with pytest.raises(TimeoutError):
            await action
    finally:
        world.env.settle_timeout = patience
        await _forget_unsettled(world)


async def _forget_unsettled(world: World) -> None:
    """Drop the time-out of a timer that began with the short patience: SimCord would raise it at the next action."""
    advancing = world.env._real_advance_task
    if advancing is None:
        return
    await asyncio.wait([advancing], timeout=2 * _HELD_SECONDS)
    if advancing.done() and isinstance(advancing.exception(), TimeoutError):
        world.env._real_advance_task = None
