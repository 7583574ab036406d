"""Starts an engine whose workers are actors of a Ray cluster. Imports no Ray."""

from __future__ import annotations

import logging
import threading
from typing import Any

from zimage_engine.cluster.cluster_watch import ClusterWatch
from zimage_engine.cluster.config import ClusterConfig, RayNodeInfo, Seat, seats_of
from zimage_engine.cluster.fingerprint import Fingerprint
from zimage_engine.cluster.link import RayLink
from zimage_engine.cluster.ray_executor import RayExecutor
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.executor import Executor
from zimage_engine.places import DevicePlace
from zimage_engine.types import EngineError, NotAvailable, WorkerLost

log = logging.getLogger(__name__)

_WAITING_SECONDS = 60.0
_STOPPING_SECONDS = 2.0


class ClusterDevices:
    """The devices of a cluster: which are there, and which may work."""

    def __init__(self, config: EngineConfig, cluster: ClusterConfig) -> None:
        self._config = config
        self._cluster = cluster
        self._models = tuple(profile.name for profile in config.profiles)
        self._lock = threading.Lock()
        self._expected: Fingerprint | None = None
        self._first: tuple[RayLink, DevicePlace, Seat] | None = None
        self._failure: EngineError | None = None
        self._found = threading.Condition(self._lock)
        self.watch = ClusterWatch(cluster, self._on_nodes, self._on_loss, lambda stage: log.info("ray: %s", stage))

    def make_executor(self, place: DevicePlace) -> Executor:
        """Return an executor on the first device, for which it waits."""
        del place
        with self._found:
            self._found.wait_for(lambda: self._first or self._failure, _WAITING_SECONDS)
            if self._failure is not None:
                raise self._failure
            if self._first is None:
                raise NotAvailable("The Ray cluster has no worker.")
            link, own, seat = self._first
        return RayExecutor(self._config, own, link, seat, self._check)

    def _on_nodes(self, link: RayLink, nodes: tuple[RayNodeInfo, ...]) -> None:
        seats = [seat for node in nodes for seat in seats_of(node, self._cluster, self._models)]
        with self._found:
            self._first = (link, *seats[0]) if seats else None
            self._found.notify_all()

    def _on_loss(self, error: EngineError) -> None:
        with self._found:
            self._first = None
            if not isinstance(error, WorkerLost):
                self._failure = error
            self._found.notify_all()

    def _check(self, found: Fingerprint, where: str) -> str | None:
        """Return why a worker with this fingerprint may not work; the first one decides what the others must have."""
        with self._lock:
            if self._expected is None:
                self._expected = found
            return self._expected.difference(found, where)


class ClusterEngine(Engine):
    """An engine on a cluster, which it leaves when it is closed."""

    devices: ClusterDevices

    async def close(self, *, drain: bool = False, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - as Engine's
        try:
            await super().close(drain=drain, timeout=timeout)
        finally:
            self.devices.watch.stop(_STOPPING_SECONDS)


def start_on_cluster(cluster: ClusterConfig, config: EngineConfig, **options: Any) -> Engine:
    """Start an engine as :meth:`Engine.start` does, whose workers are actors of the cluster."""
    devices = ClusterDevices(config, cluster)
    engine = ClusterEngine.start(config, devices.make_executor, **options)
    assert isinstance(engine, ClusterEngine)
    engine.devices = devices
    devices.watch.start()
    return engine
