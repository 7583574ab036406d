"""Ray's processes on this machine: ``ray start`` in a child process, which they end with. Imports no Ray."""

from __future__ import annotations

import ctypes
import errno
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from zimage_engine.types import WorkerLost

log = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 150 * 2**20
"""Shared memory for results on their way: a picture has some MB."""

HEALTH_CHECK = {
    "health_check_initial_delay_ms": 2000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}
"""A node is dead after three checks that were not answered within two seconds: nine seconds at most."""

_STARTING_SECONDS = 60.0
_CHECK_SECONDS = 0.1
_FOLDER_LENGTH_MAX = 40  # the paths of Ray's sockets are 66 characters longer, and may have 107
_OUTPUT_MAX, _SAID_MAX = 10_000, 300
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_LOG_LINE = re.compile(r"\[\d{4}-\d\d-\d\d ")
_PR_SET_PDEATHSIG = 1
_ID_OPTIONS = ("--node-id=", "--node_id=")


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """A node to start: ``address`` is the host and port of the cluster that it joins; empty: it is a new one's head.

    ``ip`` is this machine's address for the others; empty: the one from which it reaches ``address``. ``port`` is the
    head's; 0: any. ``gpus`` and ``cpus`` are what the node offers; None: all. ``resources`` are
    what else it offers, by name; the bot sees them. ``fixed_ports``: use the ports of :data:`NODE_PORTS`, for
    firewalls.
    """

    address: str = ""
    ip: str = ""
    port: int = 0
    gpus: int | None = None
    cpus: int | None = None
    resources: tuple[tuple[str, float], ...] = ()
    fixed_ports: bool = False


NODE_PORTS = {
    "--node-manager-port": "6380",
    "--object-manager-port": "6381",
    "--runtime-env-agent-port": "6382",
    "--min-worker-port": "10002",
    "--max-worker-port": "10101",
}
"""The ports of a node that ``zimage-bot worker`` starts; the head's own is 6379."""


class RayNode:
    """The processes of one node. They end with the calling process, also if that is killed."""

    def __init__(self, options: NodeOptions, folder: Path) -> None:
        """Begin to start the node; its logs and sockets go to ``folder``. Call it in the main thread."""
        self._folder = folder
        self._output = folder / "ray-start.log"
        command = _command(options, folder)
        log.debug("starting: %s", command)
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own arguments
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in a terminal would end it before it has been drained
                preexec_fn=end_with_parent,  # noqa: PLW1509
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the node has ended: Ray ends all of its processes when one of them has."""
        return self._process.poll() is not None

    @property
    def id(self) -> str:
        """The node's id in the cluster; empty if its main process has ended."""
        for process in self._family():
            with suppress(psutil.Error):
                if process.name() == "raylet":
                    return next((part[10:] for part in process.cmdline() if part.startswith(_ID_OPTIONS)), "")
        return ""

    def actors(self) -> int:
        """Return how many workers the bot has here."""
        count = 0
        for process in self._family():
            with suppress(psutil.Error):
                count += "DeviceActor" in " ".join(process.cmdline())
        return count

    def wait(self, stopping: threading.Event | None = None) -> str:
        """Wait until the node is part of its cluster, and return the cluster's address; empty if ``stopping`` is set.

        Raises :class:`WorkerLost` if it cannot be started.
        """
        address = self._folder / "ray_current_cluster"
        until = time.monotonic() + _STARTING_SECONDS
        while time.monotonic() < until and not self.ended and not (stopping is not None and stopping.is_set()):
            with suppress(OSError):
                if text := address.read_text(encoding="utf-8").strip():
                    return text
            time.sleep(_CHECK_SECONDS)
        if stopping is not None and stopping.is_set():
            return ""
        self.stop()
        raise WorkerLost(self._failure())

    def stop(self, seconds: float = 0.0) -> None:
        """End all of the node's processes; with ``seconds`` they may first leave the cluster by themselves."""
        family = set(self._family())
        if seconds and not self.ended:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self._process.send_signal(signal.SIGSTOP)
        new = family | set(self._family())
        while new:  # those that they start meanwhile, too; one that is stopped starts no other
            for process in new:
                with suppress(psutil.Error):
                    process.suspend()
            family |= new
            new = set(self._family()) - family
        self._process.kill()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def _family(self) -> list[psutil.Process]:
        try:
            family: list[psutil.Process] = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return family

    def _failure(self) -> str:
        """Return a sentence with the last thing that Ray said, without the log lines of its parts in C++."""
        output = self._output.read_text(encoding="utf-8", errors="replace")
        log.debug("ray start: %s", output[-_OUTPUT_MAX:])
        said = [line.strip() for line in _ESCAPES.sub("", output).splitlines() if line.strip()]
        last = next((line for line in reversed(said) if not _LOG_LINE.match(line)), "")
        why = f" ({last[:_SAID_MAX]})" if last else f" within {_STARTING_SECONDS:g} seconds"
        return f"Ray could not be started{why}: LOG_LEVEL=DEBUG shows all that it said."


def check_ports(options: NodeOptions) -> None:
    """Check that the node can listen where it has to. Raises :class:`WorkerLost` if not."""
    own = [(option.strip("-"), int(port)) for option, port in NODE_PORTS.items() if not option.endswith("worker-port")]
    if not options.address:
        own.append(("port", options.port))
    for name, port in own if options.fixed_ports else ():
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((options.ip, port))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    raise WorkerLost(
                        f"This machine has no address {options.ip}: give --listen one of those that `ip address` shows."
                    ) from None
                other = ", or choose another with --port" if name == "port" else ""
                raise WorkerLost(
                    f"Port {port} is in use on this machine, which can run one node of `zimage-bot worker` or of the "
                    f"bot at a time: stop what uses it{other}."
                ) from None


def make_folder(wanted: Path | None = None) -> Path:
    """Return a new private folder for Ray's logs and sockets: ``wanted``, or a temporary one if that has a long path.

    What an earlier run has left in ``wanted`` is removed.
    """
    if wanted is None or len(str(wanted)) > _FOLDER_LENGTH_MAX:
        return Path(tempfile.mkdtemp(prefix="zimage-ray-"))
    shutil.rmtree(wanted, ignore_errors=True)
    wanted.mkdir(mode=0o700, parents=True)
    return wanted


def write_token(path: Path) -> Path:
    """Write a new random token, for this user's eyes alone, unless the file is there; returns its path."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32))
    return path


def _command(options: NodeOptions, folder: Path) -> Sequence[str]:
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    command += ["--include-log-monitor=false", f"--temp-dir={folder}"]
    command += [f"--object-store-memory={OBJECT_STORE_BYTES}"]
    if options.ip:
        command += [f"--node-ip-address={options.ip}"]
    if options.address:
        command += [f"--address={options.address}"]
    else:
        command += ["--head", f"--port={options.port}", "--include-dashboard=false", "--no-monitor"]
        command += [f"--system-config={json.dumps(HEALTH_CHECK)}"]
    if options.gpus is not None:
        command += [f"--num-gpus={options.gpus}"]
    if options.cpus is not None:
        command += [f"--num-cpus={options.cpus}"]
    if options.resources:
        command += [f"--resources={json.dumps(dict(options.resources))}"]
    if options.fixed_ports:
        command += [f"{name}={port}" for name, port in NODE_PORTS.items()]
    return command


def end_with_parent() -> None:
    """Have the system kill this process when the thread that started it ends: Linux alone can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
