"""``zimage-bot cluster``: prints the nodes, devices and models of the bot's Ray cluster, and the queue."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from contextlib import closing
from importlib.util import find_spec
from typing import Any

from rich.console import Console
from rich.table import Table

from bot.errors import StartupError
from bot.settings import Settings
from bot.store.health import load
from zimage_engine.cluster.bridge import NAMESPACE, connect
from zimage_engine.cluster.config import RayNodeInfo, read_nodes
from zimage_engine.cluster.link import RAY_MISSING, RayLink, check_token, set_ray_environment
from zimage_engine.cluster.reaching import check_answer, find_cluster

_ANSWER_SECONDS = 5.0


def show_cluster(settings: Settings, address: str | None) -> None:
    """Print the tables. Raises :class:`StartupError` or :class:`EngineError` if the cluster cannot be reached."""
    address = address or settings.ray_address or "auto"
    if address == "local":
        raise StartupError("RAY_ADDRESS=local is a cluster of the bot's own: /ping and /owner health show it.")
    if find_spec("ray") is None:
        raise StartupError(RAY_MISSING)
    link = RayLink(find_cluster(address))
    set_ray_environment(link)
    check_token()
    check_answer(link.address)
    ray = connect(link)
    try:
        console = Console()
        console.print(_nodes(_seen(ray)))
        console.print(_workers(ray))
    finally:
        ray.shutdown()
    console.print(_queue(settings))


def _seen(ray: Any) -> tuple[RayNodeInfo, ...]:
    from ray._private.state import state  # noqa: PLC0415 - nothing public says which nodes drain

    return read_nodes(ray.nodes(), state.get_draining_nodes())


def _nodes(nodes: tuple[RayNodeInfo, ...]) -> Table:
    table = Table(title="Nodes")
    for heading in ("host", "address", "GPUs", "CPUs", "state"):
        table.add_column(heading)
    for node in nodes:
        state = "draining" if node.draining else "alive"
        table.add_row(node.host, node.ip, str(node.gpus), str(node.cpus), state)
    return table


def _workers(ray: Any) -> Table:
    table = Table(title="Workers")
    for heading in ("name", "device", "models", "units"):
        table.add_column(heading)
    for found in ray.util.list_named_actors(all_namespaces=True):
        if found["namespace"] != NAMESPACE:
            continue
        try:
            actor = ray.get_actor(found["name"], NAMESPACE)
            asked = actor.status.options(concurrency_group="news").remote()
            status = ray.get(asked, timeout=_ANSWER_SECONDS)
        except (ray.exceptions.RayError, ValueError):
            table.add_row(found["name"].partition("~")[0], "does not answer", "", "")
            continue
        table.add_row(status["name"], status["title"], ", ".join(status["models"]), str(status["plans"]))
    return table


def _queue(settings: Settings) -> str:
    """Return how many jobs wait and how many run, from the bot's database."""
    if not settings.database_path.exists():
        return "Queue: the bot's database is on another machine."
    with closing(sqlite3.connect(f"file:{settings.database_path}?mode=ro", uri=True)) as database:
        counts = Counter[str]()
        for (state, _), count in load(database, int(time.time())).open_jobs.items():
            counts[state] += count
    return f"Queue: {counts['running']} running, {counts['queued']} waiting."
