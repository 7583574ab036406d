"""``zimage-bot run`` in a process of its own, connected to a loopback Discord: ``python -m tests.helpers.launch_bot``.

``LOOPBACK`` is the server's address as ``host:port``; the settings come from the environment as always. With
``CRASH=before:delivering:2`` the process kills itself before the second write of the database whose function has that
name; with ``after`` when that write is committed. With ``MODULES`` the names of all modules that this process has
imported are written to that file at its end.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import discord
from yarl import URL

from bot.cli.main import main
from bot.store.database import Database


def connect_to(address: str) -> None:
    """Make discord.py connect to the loopback Discord at ``address``."""
    discord.http.Route.BASE = f"http://{address}/api"
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = URL(f"ws://{address}/gateway")


def crash_at(moment: str) -> None:
    """Wrap the database's writes so that the process dies at the moment that ``CRASH`` describes."""
    when, wanted, count = moment.split(":")
    left = int(count)
    write = Database.write

    async def write_or_die(self: Database, function: Callable[..., Any]) -> Any:
        nonlocal left
        counts = name_of(function) == wanted
        if counts:
            left -= 1
        if counts and left == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = await write(self, function)
        if counts and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Database.write = write_or_die  # type: ignore[method-assign]


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a write's function, also of a partial one."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__name__", "")


def write_modules(path: Path) -> None:
    path.write_text("\n".join(sys.modules), encoding="utf-8")


if __name__ == "__main__":
    connect_to(os.environ["LOOPBACK"])
    if "MODULES" in os.environ:
        atexit.register(write_modules, Path(os.environ["MODULES"]))
    if "CRASH" in os.environ:
        crash_at(os.environ["CRASH"])
    sys.argv = ["zimage-bot", "run"]
    main()
