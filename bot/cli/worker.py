"""``zimage-bot worker``: makes this machine a node of the bot's Ray cluster."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from importlib.util import find_spec
from types import FrameType

from rich.console import Console

from bot.checks.checks import worker_findings
from bot.checks.finding import Surroundings
from bot.cli.doctor import examine
from bot.errors import ExitStatus, StartupError, WrongUsage
from bot.settings import Settings
from zimage_engine.cluster.config import WORKERS_RESOURCE
from zimage_engine.cluster.joining import stay_joined
from zimage_engine.cluster.link import LOOPBACK, RAY_MISSING, token_file
from zimage_engine.cluster.ray_node import NodeOptions, make_folder, write_token

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """The command's options: ``address`` is the cluster's, None to start a new one at ``listen`` and ``port``."""

    address: str | None
    listen: str
    port: int
    workers: int | None
    drain_seconds: float


def run_worker(settings: Settings, options: WorkerOptions) -> None:
    """Check this machine, join the cluster and stay until a signal. Raises :class:`StartupError`."""
    if find_spec("ray") is None:
        raise StartupError(RAY_MISSING)
    console = Console()
    around = Surroundings(settings, hurried=True)
    offers = options.workers != 0 and not (options.address is None and options.workers is None)
    if offers and not examine(around, console, worker_findings):
        sys.exit(ExitStatus.FOUND)
    logging.basicConfig(level=settings.log_level, format="%(message)s")
    node = _node(settings, options, around)
    if options.address is None and (path := token_file()) is not None:
        write_token(path)
        console.print(
            f"The cluster's token is in {path}: copy it to ~/.ray/auth_token of each machine.", soft_wrap=True
        )
    stopping = threading.Event()

    def on_signal(number: int, _: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(128 + number)  # Ray's processes end with this one
        stopping.set()

    for number in _STOP_SIGNALS:
        signal.signal(number, on_signal)
    folder = make_folder()
    try:
        stay_joined(node, folder, stopping, options.drain_seconds, lambda text: console.print(text, soft_wrap=True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _node(settings: Settings, options: WorkerOptions, around: Surroundings) -> NodeOptions:
    """Return the node to start: a head offers nothing unless it is told to."""
    head = options.address is None
    workers = options.workers
    if workers is None:
        workers = 0 if head else int(around.find_devices(settings.device).chosen.kind == "cpu")
    gpus = 0 if settings.device == "cpu" or (head and not options.workers) else None
    resources = ((WORKERS_RESOURCE, float(workers)),) if workers else ()
    listen = _resolved(options.listen) if options.listen else ""
    if not head:
        return NodeOptions(options.address or "", listen, gpus=gpus, resources=resources, fixed_ports=True)
    cpus = None if workers else 0
    return NodeOptions("", listen or LOOPBACK, options.port, gpus, cpus, resources, fixed_ports=True)


def _resolved(host: str) -> str:
    """Return the address of a host. Raises :class:`WrongUsage`."""
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise WrongUsage(
            f"{host} cannot be found: give --listen an address of this machine, like 192.168.1.5."
        ) from error
