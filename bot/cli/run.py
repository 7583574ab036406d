"""``zimage-bot run``: connects to Discord, stops on a signal, and says what an operator can fix."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import discord
import structlog

from bot.app import create_client
from bot.checks.checks import check_first
from bot.checks.finding import Surroundings
from bot.cli.connection import connect
from bot.client import ZImageBot
from bot.daemon_thread import in_daemon_thread
from bot.errors import DeviceGone, from_engine
from bot.logs import configure_logging
from bot.settings import Settings
from bot.version import program_version
from zimage_engine.types import EngineClosed, EngineError

log = structlog.get_logger(__name__)

_STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP")
    if hasattr(signal, name)  # Windows has no SIGHUP
)


def run_bot(settings: Settings, token: str) -> None:
    """Run until a signal. Raises :class:`StartupError` if the operator has something to fix."""
    configure_logging(settings)
    profile = ",".join(settings.profiles) or settings.profile
    log.info("starting", version=program_version(), profile=profile, data=str(settings.data_dir))
    # The bot uses no voice, so what discord.py lacks for it is of no interest.
    discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
    asyncio.run(_run(settings, token))


async def _run(settings: Settings, token: str) -> None:
    """Make the checks that need no connection, then connect and work until a signal, which ends both.

    A second signal ends the program at once.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
            loop.add_signal_handler(number, _on_signal, stop, number)
    stopped = asyncio.create_task(stop.wait(), name="stop")
    around = Surroundings(settings, hurried=True)
    checks = asyncio.create_task(in_daemon_thread(lambda: _checked(around)), name="checks")
    await asyncio.wait({checks, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if stopped.done():
        checks.cancel()
        log.info("stopping")
        return
    try:
        chosen = checks.result()
    except BaseException:
        stopped.cancel()
        raise
    await _work(create_client(chosen), token, stopped)


def _checked(around: Surroundings) -> Settings:
    """Make the checks, and return the settings with the profile that they chose: the devices are looked for once."""
    check_first(around)
    if around.settings.profiles:
        return around.settings
    return around.settings.model_copy(update={"profile": around.profiles()[0].name})


async def _work(client: ZImageBot, token: str, stopped: asyncio.Task[bool]) -> None:
    """Connect; close when ``stopped`` ends, if the model cannot be loaded, or if the device is lost for good."""
    connection = asyncio.create_task(connect(client, token), name="discord")
    model = asyncio.create_task(client.model_ready(), name="model")
    lost = asyncio.create_task(client.device_lost(), name="device lost")
    try:
        waiting: set[asyncio.Task[object]] = {connection, stopped, model, lost}
        while not stopped.done() and not connection.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if model in done:
                _explain_model(model)
            if lost in done:
                raise DeviceGone(str(lost.result()))
    finally:
        log.info("stopping")
        await _disconnect(client, connection)
        watchers: list[asyncio.Task[object]] = [stopped, model, lost]
        for task in watchers:
            task.cancel()
        await asyncio.wait(watchers)
    if not connection.cancelled():
        connection.result()


def _on_signal(stop: asyncio.Event, number: signal.Signals) -> None:
    if not stop.is_set():
        stop.set()
        return
    # Rows hold all there is to know of a job, and running jobs were queued again at the first signal.
    log.warning("stopped_at_once", signal=number.name)
    with contextlib.suppress(OSError, ValueError):  # its terminal may be gone
        sys.stdout.flush()
    os._exit(128 + number)


async def _disconnect(client: ZImageBot, connection: asyncio.Task[None]) -> None:
    """Close the client, without waiting for a connection that is starting or waits to reconnect."""
    if not client.set_up:
        connection.cancel()
        await asyncio.wait([connection])
    await client.close()
    connection.cancel()
    await asyncio.wait([connection])


def _explain_model(model: asyncio.Task[None]) -> None:
    error = model.exception()
    if isinstance(error, EngineClosed):
        return  # Discord has closed the connection meanwhile, whose error says more
    if isinstance(error, EngineError):
        raise from_engine(error) from error
    if error is not None:
        raise error
    log.info("model_ready")
