"""``zimage-bot run``: connects to Discord, stops on a signal, and says what an operator can fix."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import aiohttp
import discord
import structlog

from bot.app import create_client
from bot.client import ZImageBot
from bot.errors import DeviceGone, StartupError
from bot.logs import configure_logging
from bot.settings import Settings
from zimage_engine.types import DeviceLost, EngineError

log = structlog.get_logger(__name__)

_STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP")
    if hasattr(signal, name)  # Windows has no SIGHUP
)


def run_bot(settings: Settings, token: str) -> None:
    """Run until a signal. Raises :class:`StartupError` if the operator has something to fix."""
    configure_logging(settings)
    asyncio.run(_run(create_client(settings), token))


async def _run(client: ZImageBot, token: str) -> None:
    """Connect; close on a signal, if the model cannot be loaded, or if the device is lost for good.

    A second signal ends the program at once.
    """
    connection = asyncio.create_task(_connect(client, token), name="discord")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
            loop.add_signal_handler(number, _on_signal, stop, number)
    stopped = asyncio.create_task(stop.wait(), name="stop")
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
    if isinstance(error, DeviceLost):
        raise DeviceGone(str(error)) from error
    if isinstance(error, EngineError):
        raise StartupError(str(error)) from error
    if error is not None:
        raise error
    log.info("model_ready")


async def _connect(client: ZImageBot, token: str) -> None:
    try:
        await client.start(token)
    except discord.LoginFailure as error:
        raise StartupError(
            "Discord does not accept the token: copy it again from the developer portal (Bot → Reset Token) "
            "into DISCORD_TOKEN."
        ) from error
    except discord.PrivilegedIntentsRequired as error:
        raise StartupError(
            "The developer portal does not grant an intent that the bot asks for: switch on Message Content Intent "
            "under Bot → Privileged Gateway Intents."
        ) from error
    except (discord.HTTPException, discord.GatewayNotFound, discord.ConnectionClosed) as error:
        raise StartupError(f"Discord refuses the connection ({error}): try again in a few minutes.") from error
    except aiohttp.ClientConnectionError as error:
        raise StartupError(f"Discord cannot be reached ({type(error).__name__}): check the network.") from error
