"""Hosts as network namespaces on one switch, whose links can be cut. Linux and root only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

NETWORK = "10.88.0"
_SWITCH = "switch"


def why_not() -> str | None:
    """Return why there can be no such hosts here; None if there can."""
    if sys.platform != "linux" or shutil.which("ip") is None:
        return "network namespaces need Linux and iproute2"
    if os.geteuid():
        return "network namespaces need root"
    name = f"zimage-try-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return "network namespaces are not allowed here"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


class Hosts:
    """The first of the ``names`` has the address 10.88.0.1, and so on. ``tag`` begins the names of the namespaces."""

    def __init__(self, names: Sequence[str], tag: str = "") -> None:
        self.names = tuple(names)
        self.tag = tag or f"zi{os.getpid()}"

    def __enter__(self) -> Self:
        _ip("netns", "add", self._of(_SWITCH))
        _ip("-n", self._of(_SWITCH), "link", "add", "bridge", "type", "bridge")
        _ip("-n", self._of(_SWITCH), "link", "set", "bridge", "up")
        for name in self.names:
            host = self._of(name)
            _ip("netns", "add", host)
            _ip("-n", host, "link", "set", "lo", "up")
            _ip("link", "add", name, "netns", self._of(_SWITCH), "type", "veth", "peer", "name", "eth0", "netns", host)
            _ip("-n", self._of(_SWITCH), "link", "set", name, "master", "bridge", "up")
            _ip("-n", host, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
            _ip("-n", host, "link", "set", "eth0", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name in (*self.names, _SWITCH):
            self.kill_all(name)
            subprocess.run(["ip", "netns", "del", self._of(name)], capture_output=True, check=False)

    def address(self, name: str) -> str:
        """Return a host's address."""
        return f"{NETWORK}.{self.names.index(name) + 1}"

    def command(self, name: str, *arguments: str) -> list[str]:
        """Return the command that runs another one on a host."""
        return ["ip", "netns", "exec", self._of(name), *arguments]

    def cut(self, name: str) -> None:
        """Cut the host off: nothing comes or goes, and no connection is closed."""
        _ip("-n", self._of(_SWITCH), "link", "set", name, "down")

    def heal(self, name: str) -> None:
        """Connect a host again that was cut off."""
        _ip("-n", self._of(_SWITCH), "link", "set", name, "up")

    def pids(self, name: str) -> list[int]:
        """Return the processes on a host."""
        done = subprocess.run(["ip", "netns", "pids", self._of(name)], capture_output=True, text=True, check=False)
        return [int(line) for line in done.stdout.split()]

    def kill_all(self, name: str) -> None:
        """Kill every process on a host, as a power cut does."""
        for pid in self.pids(name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _of(self, name: str) -> str:
        return f"{self.tag}-{name}"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
