"""Which Ray cluster an engine uses, and the nodes that it sees there. Imports no Ray."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zimage_engine.places import DevicePlace

LOCAL, AUTO = "local", "auto"
_ADDRESS = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.){0,30}[A-Za-z0-9-]{1,63}\.?:([0-9]{1,5})", re.ASCII)
_PORT_MAX = 65_535

WORKERS_RESOURCE = "zimage_workers"
"""What ``zimage-bot worker`` has its node offer: the number of workers on a machine without a GPU."""


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """Which cluster an engine uses.

    - ``address``: ``local`` starts Ray on this machine and ends it with the engine; ``auto`` is the cluster whose node
      runs on this machine; ``HOST:PORT`` is another one, which this machine joins without offering it anything.
    - ``workers``: the number of workers on a node without a GPU, 1 for ``local`` and else 0 if it is None. A node with
      GPUs has one on each, at most ``workers`` of them.
    - ``folder``: where Ray keeps its logs and sockets.
    """

    address: str
    workers: int | None = None
    folder: Path = Path("data/ray")


@dataclass(frozen=True, slots=True)
class RayNodeInfo:
    """A node of the cluster: ``workers`` is how many it offers to hold without a GPU, if it says so.

    ``memory`` is how many bytes were free on it when it started; 0 if it does not say.
    """

    id: str
    ip: str
    host: str
    gpus: int
    cpus: int
    draining: bool = False
    workers: int | None = None
    memory: int = 0


@dataclass(frozen=True, slots=True)
class Seat:
    """Where an actor is placed: on the node with this id, with a GPU or without one. ``title`` is for people."""

    node_id: str
    gpus: int
    title: str


def is_address(text: str) -> bool:
    """Return whether a text is a host and a port, like ``10.0.0.1:6379``."""
    match = _ADDRESS.fullmatch(text)
    return match is not None and 0 < int(match[1]) <= _PORT_MAX


def read_nodes(table: Iterable[Mapping[str, Any]], draining: Mapping[str, object]) -> tuple[RayNodeInfo, ...]:
    """Return the nodes that are alive, from what ``ray.nodes()`` returns and the ids of those that drain."""
    nodes = []
    for row in table:
        if not row["Alive"]:
            continue
        resources = row["Resources"]
        offered = resources.get(WORKERS_RESOURCE)
        nodes.append(
            RayNodeInfo(
                row["NodeID"],
                row["NodeManagerAddress"],
                row["NodeManagerHostname"],
                int(resources.get("GPU", 0)),
                int(resources.get("CPU", 0)),
                row["NodeID"] in draining,
                None if offered is None else int(offered),
                int(resources.get("memory", 0)),
            )
        )
    return tuple(sorted(nodes, key=lambda node: node.id))


def seats_of(node: RayNodeInfo, config: ClusterConfig, models: Sequence[str]) -> list[tuple[DevicePlace, Seat]]:
    """Return the places of the workers on a node, with the seats of their actors."""
    title = node.host if node.ip == "127.0.0.1" else f"{node.host} ({node.ip})"
    if node.gpus:
        count = node.gpus if config.workers is None else min(node.gpus, config.workers)
        memory = _part(node, count)
        return [
            (
                DevicePlace(f"{node.ip}/cuda:{number}", "cuda", _from(models, number), host_memory=memory),
                Seat(node.id, 1, title),
            )
            for number in range(count)
        ]
    count = config.workers if config.workers is not None else int(config.address == LOCAL)
    if node.workers is not None:
        count = node.workers
    elif node.cpus == 0:
        count = 0  # a node that only connects, such as the bot's own
    threads = max(1, node.cpus // count) if count else 0
    memory = _part(node, count)
    return [
        (
            DevicePlace(f"{node.ip}/cpu#{number + 1}", "cpu", _from(models, number), threads, count, 0, memory),
            Seat(node.id, 0, title),
        )
        for number in range(count)
    ]


def _part(node: RayNodeInfo, count: int) -> int:
    """Return the bytes of the node's memory for each of its workers; 0: a single one may use what is free."""
    return node.memory // count if count > 1 else 0


def _from(models: Sequence[str], number: int) -> tuple[str, ...]:
    """Return the models, beginning with another one for each number."""
    start = number % len(models)
    return (*models[start:], *models[:start])
