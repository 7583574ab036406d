"""Makes this machine a node of a cluster, until it is told to stop; then the node finishes what it has begun."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zimage_engine.cluster.link import RayLink, check_token, set_ray_environment
from zimage_engine.cluster.ray_node import NodeOptions, RayNode, check_ports
from zimage_engine.cluster.reaching import check_answer
from zimage_engine.types import WorkerLost

log = logging.getLogger(__name__)

_PAUSES = (0.5, 2.0, 5.0, 15.0, 30.0)
_CHECK_SECONDS = 0.5
_LEAVING_SECONDS = 3.0
_ASKING_SECONDS = 20.0

Say = Callable[[str], None]


def stay_joined(options: NodeOptions, folder: Path, stopping: threading.Event, drain_seconds: float, say: Say) -> None:
    """Run a node of the cluster until ``stopping`` is set, then drain it for up to ``drain_seconds``.

    A node that has ended, as after a break of the network, is started again. Blocks; call it in the main thread. Raises
    :class:`NotAvailable` if there is no token or a wrong one, :class:`WorkerLost` if the first start fails.
    """
    set_ray_environment(RayLink(options.address, node_ip=options.ip))
    check_token()
    check_ports(options)
    failures, joined = 0, False
    while not stopping.is_set():
        why = "The node has ended."
        try:
            if options.address:
                check_answer(options.address)
            with _started(options, folder) as node:
                if address := node.wait(stopping):
                    joined, failures = True, 0
                    _stay(node, address, stopping, drain_seconds, say)
        except WorkerLost as error:
            if not joined:
                raise
            why = str(error)
        if not stopping.is_set():
            say(f"{why} Joining again.")
            stopping.wait(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1


@contextmanager
def _started(options: NodeOptions, folder: Path) -> Iterator[RayNode]:
    """Start a node; at the end its processes and its files are gone."""
    node = RayNode(options, folder)
    try:
        yield node
    finally:
        node.stop(_LEAVING_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)


def _stay(node: RayNode, address: str, stopping: threading.Event, drain_seconds: float, say: Say) -> None:
    say(f"This machine is a node of the Ray cluster at {address}.")
    while not node.ended and not stopping.wait(_CHECK_SECONDS):
        pass
    if stopping.is_set() and not node.ended and node.actors():
        say("Finishing what has begun; a second signal ends it at once.")
        drain(node, address, drain_seconds)


def drain(node: RayNode, address: str, seconds: float) -> None:
    """Tell the cluster that the node leaves, and wait up to ``seconds`` until the bot has freed its workers."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", f"--address={address}"]
    command += [f"--node-id={node.id}", "--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=worker stopped"]
    command += [f"--deadline-remaining-seconds={seconds:.0f}"]
    until = time.monotonic() + seconds
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(  # noqa: S603 - our own arguments
            command, capture_output=True, text=True, timeout=_ASKING_SECONDS, check=False
        )
        if done.returncode:
            log.warning("the node could not be drained: %s", (done.stderr or done.stdout).strip()[-300:])
            return
    while time.monotonic() < until and not node.ended and node.actors():
        time.sleep(_CHECK_SECONDS)
