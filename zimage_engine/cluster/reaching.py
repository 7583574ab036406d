"""Whether a Ray cluster can be used from this machine, and if not, what a person has to do. Imports no Ray."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from zimage_engine.cluster.config import AUTO
from zimage_engine.cluster.link import asking_environment, wrong_token
from zimage_engine.cluster.ray_node import end_with_parent
from zimage_engine.types import NotAvailable, WorkerLost

_CONNECTING_SECONDS = 3.0
_ANSWER_SECONDS = 10.0
_GCS_OPTION = "--gcs-address="
_WRONG_TOKEN = 3
_ASK = f"""
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(sys.argv[1])
except AuthenticationError:
    sys.exit({_WRONG_TOKEN})
"""
"""In a process of its own, since Ray prints what it tries and may try for a minute."""


def find_cluster(address: str) -> str:
    """Return the address of the cluster; that of the one whose node runs on this machine for ``auto``.

    Raises :class:`WorkerLost` if there is none or more than one.
    """
    if address != AUTO:
        return address
    found = sorted(clusters_here())
    if not found:
        raise WorkerLost(
            "No node of a Ray cluster runs on this machine: start one with `zimage-bot worker`, or set RAY_ADDRESS to "
            "the cluster's HOST:PORT."
        )
    if len(found) > 1:
        raise WorkerLost(f"Several Ray clusters have a node here: set RAY_ADDRESS to one of {', '.join(found)}.")
    return found[0]


def clusters_here() -> set[str]:
    """Return the addresses of the clusters that have a node on this machine, in this network namespace."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        for part in process.info["cmdline"] or ():
            if part.startswith(_GCS_OPTION) and _same_network(process.pid):
                found.add(part.removeprefix(_GCS_OPTION))
    return found


def has_node(address: str) -> bool:
    """Return whether a node of the cluster at this address runs on this machine, in this network namespace."""
    host, _, port = address.rpartition(":")
    try:
        return f"{socket.gethostbyname(host)}:{port}" in clusters_here()
    except OSError:
        return False


def check_answer(address: str) -> None:
    """Check that a cluster answers at the host and port, and takes the token. Takes a second. Blocks.

    Raises :class:`WorkerLost` if another try may succeed, :class:`NotAvailable` if the token is wrong.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECTING_SECONDS).close()
    except socket.gaierror:
        raise WorkerLost(f"The host {host} of the Ray cluster cannot be found: correct the address.") from None
    except OSError:
        listen = "" if host in ("127.0.0.1", "localhost") else f" --listen {host}"
        raise WorkerLost(
            f"Nothing answers at {address}: start the cluster's head there with `zimage-bot worker --head{listen}`, or "
            "correct the address."
        ) from None
    status = None
    with suppress(subprocess.TimeoutExpired):
        status = subprocess.run(  # noqa: S603 - our own arguments
            [sys.executable, "-c", _ASK, address],
            env=asking_environment(),
            capture_output=True,
            timeout=_ANSWER_SECONDS,
            check=False,
            preexec_fn=end_with_parent,
        ).returncode
    if status == _WRONG_TOKEN:
        raise NotAvailable(wrong_token(address))
    if status != 0:
        raise WorkerLost(
            f"What answers at {address} is not a Ray cluster, or one with other TLS settings: correct the address, or "
            "set RAY_USE_TLS and the files of TLS as for the head."
        )


def _same_network(pid: int) -> bool:
    """Return whether a process is in this one's network namespace; True if that cannot be told."""
    try:
        return Path(f"/proc/{pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink()
    except FileNotFoundError:
        return sys.platform != "linux"  # it has ended
    except OSError:
        return True  # another user's
