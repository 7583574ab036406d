"""The type of the fixture that opens a simulated Discord."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from bot.playground.world import World

OpenWorld = Callable[..., AbstractAsyncContextManager[World]]
