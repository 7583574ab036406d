"""``zimage-bot playground``: the real bot on a simulated Discord, as a page in the browser."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from simcord.backend.errors import SetupError
from transformers.utils.logging import disable_progress_bar

from bot.app import create_client
from bot.client import ZImageBot
from bot.device_setting import demo_device
from bot.errors import StartupError
from bot.logs import configure_logging
from bot.playground.demo_models import demo_models
from bot.playground.faulty_device import DeviceFaults
from bot.playground.session import Playground, open_playground
from bot.services import engine_starter
from bot.settings import Settings
from zimage_engine.catalog import demo_profiles
from zimage_engine.types import EngineError

_PROGRESS_SECONDS = 0.3
_OPENED_FILE = "playground.html"
_PLACE_SETTINGS = ("ray_address", "workers")
_ENGINE_SETTINGS = (
    "model",
    "device",
    "dtype",
    "batch_tokens",
    "attention",
    "compiled",
    "cache_dir",
    "preview_decoder",
    "previews",
    "worker",
)
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_playground(settings: Settings, port: int, data: Path | None, *, named: bool, open_browser: bool) -> None:
    """Serve the page until Ctrl-C, with the demo models of the settings, or with the settings' profile if it is named.

    Other settings of the engine, such as MODEL, are used for a profile that does not ship with the project: they are
    meant for that. Raises :class:`StartupError` if the page cannot be served or the bot cannot start.
    """
    configure_logging(Settings.in_code(log_level="WARNING"))
    disable_progress_bar()
    values = _chosen_settings(settings, named=named)
    with contextlib.ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zimage-playground-")))
        own = Settings.in_code(
            data_dir=folder, progress_interval=_PROGRESS_SECONDS, message_content_intent=True, **values
        )
        with asyncio.Runner() as runner:
            runner.run(_serve(own, port, open_browser=open_browser))
            # Everything is closed; the interpreter would wait for threads that import torch or read weights.
            (folder / _OPENED_FILE).unlink(missing_ok=True)
            stack.close()
            sys.stdout.flush()
            os._exit(0)


def _chosen_settings(settings: Settings, *, named: bool) -> dict[str, Any]:
    """Return those settings of the operator's that the playground takes. Says in a sentence which it ignores."""
    values = {name: getattr(settings, name) for name in _PLACE_SETTINGS}
    if named and settings.profile not in demo_profiles():
        return values | {name: getattr(settings, name) for name in ("profile", *_ENGINE_SETTINGS)}
    profiles, ignored = demo_models(settings)
    if ignored:
        Console(highlight=False).print(f"[dim]{escape(ignored)}[/]", soft_wrap=True)
    return values | {"profiles": profiles, "device": demo_device(settings.device, profiles)}


async def _serve(settings: Settings, port: int, *, open_browser: bool) -> None:
    """Serve the page until a signal."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, _on_signal, stop, number)
    console = Console(highlight=False)

    def create(device: DeviceFaults) -> ZImageBot:
        start = device.start_engine if settings.ray_address is None else engine_starter(settings)
        return create_client(settings, start_engine=start)

    try:
        async with open_playground(create, port) as playground:
            console.print(
                f"Open [bold]{playground.server.link}[/] in a browser; Ctrl-C ends the playground.", soft_wrap=True
            )
            console.print("[dim]The link holds the key to the page: whoever has it, on this machine, can use it.[/]")
            if open_browser:
                await asyncio.to_thread(_open_browser, playground.server.link, settings.data_dir)
            await _until_stopped(playground, stop, console)
    except SetupError as error:
        raise StartupError(str(error)) from error


async def _until_stopped(playground: Playground, stop: asyncio.Event, console: Console) -> None:
    ready, stopped = asyncio.create_task(playground.ready()), asyncio.create_task(stop.wait())
    await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        ready.cancel()
        return
    try:
        ready.result()
    except EngineError as error:
        raise StartupError(str(error)) from error
    console.print("The model is loaded.")
    await stopped


def _open_browser(link: str, folder: Path) -> None:
    """Open the page by a file that only this user can read: other users see the command line of a browser."""
    page = folder / _OPENED_FILE
    folder.mkdir(parents=True, exist_ok=True)
    page.touch(mode=0o600)
    page.write_text(f'<meta http-equiv="refresh" content="0;url={link}">', encoding="utf-8")
    webbrowser.open(page.as_uri())


def _on_signal(stop: asyncio.Event, number: signal.Signals) -> None:
    if stop.is_set():
        os._exit(128 + number)
    stop.set()
