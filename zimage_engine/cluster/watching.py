"""A child process of the bot that starts Ray on this machine, if need be, and tells which nodes the cluster has."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from zimage_engine.cluster.bridge import connect, silence
from zimage_engine.cluster.config import LOCAL, ClusterConfig, RayNodeInfo, read_nodes
from zimage_engine.cluster.link import LOOPBACK, RayLink, check_token, set_ray_environment
from zimage_engine.cluster.ray_node import NodeOptions, RayNode, check_ports, make_folder, write_token
from zimage_engine.cluster.reaching import check_answer, find_cluster, has_node
from zimage_engine.device.child import Send, begin_child
from zimage_engine.types import EngineError, WorkerLost

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_LEAVING_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class NodesSeen:
    """The nodes that are alive, and the way to their cluster."""

    link: RayLink
    nodes: tuple[RayNodeInfo, ...]


@dataclass(frozen=True, slots=True)
class WatchFailed:
    """The cluster cannot be reached, or Ray cannot be started."""

    error: EngineError


def watch(connection: Connection, config: ClusterConfig, level: int) -> None:
    """Tell which nodes there are, as often as that changes, until None comes through the pipe or its end is closed.

    Sends stages as texts, log records, and :class:`NodesSeen`; :class:`WatchFailed` if it has to give up.
    """
    folder = make_folder(config.folder)
    nodes: list[RayNode] = []

    def clean_up() -> None:
        for node in nodes:
            node.stop(0.0 if config.address == LOCAL else _LEAVING_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)

    send = begin_child(connection, level, clean_up)
    silence()
    threading.Thread(target=_end_when_told, args=(connection, clean_up), name="zimage-stop", daemon=True).start()
    try:
        link = _link(config, folder)
        if (options := _options(config, link)) is not None:
            send("starting Ray")
            check_ports(options)
            nodes.append(RayNode(options, folder))
            link = RayLink(nodes[0].wait(), link.token_path, link.node_ip)
        send("connecting to the Ray cluster")
        _look(connect(link), link, nodes, send)
    except EngineError as error:
        send(WatchFailed(error))
    except Exception as error:
        log.exception("following the cluster broke")
        send(WatchFailed(WorkerLost(f"The cluster cannot be followed ({type(error).__name__}).")))
    finally:
        clean_up()
        os._exit(0)  # Ray's own clean-up waits for processes that have ended


def _end_when_told(connection: Connection, clean_up: Callable[[], None]) -> None:
    """End this process when a message comes or the pipe is closed, whatever the main thread waits for."""
    with suppress(EOFError, OSError):
        connection.recv()
    clean_up()
    os._exit(0)


def _link(config: ClusterConfig, folder: Path) -> RayLink:
    """Return the way to the cluster, and set it for Ray. Raises :class:`EngineError` if it cannot be used."""
    if config.address == LOCAL:
        link = RayLink("", write_token(folder / "token"), LOOPBACK)
        set_ray_environment(link)
        return link
    link = RayLink(find_cluster(config.address))
    set_ray_environment(link)
    check_token()
    check_answer(link.address)
    return link


def _options(config: ClusterConfig, link: RayLink) -> NodeOptions | None:
    """Return what this machine has to start: a head, or a node that only connects. None if there is a node already."""
    if config.address == LOCAL:
        return NodeOptions(ip=link.node_ip)
    if has_node(link.address):
        return None
    return NodeOptions(address=link.address, gpus=0, cpus=0, fixed_ports=True)


def _look(ray: Any, link: RayLink, nodes: Sequence[RayNode], send: Send) -> None:
    """Look at the nodes until the node that it started has ended."""
    from ray._private.state import state  # noqa: PLC0415 - nothing public says which nodes drain

    before: tuple[RayNodeInfo, ...] | None = None
    while not any(node.ended for node in nodes):
        seen = read_nodes(ray.nodes(), state.get_draining_nodes())
        if seen != before:
            send(NodesSeen(link, seen))
            before = seen
        time.sleep(_LOOK_SECONDS)
