"""Starts an engine whose workers are actors of a Ray cluster, and follows its nodes. Imports no Ray."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from zimage_engine.cluster.cluster_watch import ClusterWatch
from zimage_engine.cluster.config import LOCAL, ClusterConfig, RayNodeInfo, Seat, seats_of
from zimage_engine.cluster.fingerprint import Fingerprint
from zimage_engine.cluster.link import RayLink
from zimage_engine.cluster.ray_executor import RayExecutor
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.places import DevicePlace
from zimage_engine.types import DeviceLost, EngineClosed, EngineError, WorkerLost

log = logging.getLogger(__name__)

_STOPPING_SECONDS = 2.0
_RETRY_SECONDS = 30.0
"""A worker that failed on a node that is alive is tried again after so long."""


@dataclass(slots=True)
class _Device:
    """A device that the engine was told of: on which node, since when, and whether it was told that it leaves."""

    node_id: str
    since: float
    draining: bool = False


class ClusterDevices:
    """Adds a device to the engine for each seat on a node, drains those of nodes that drain, and removes those of nodes
    that are gone. Its methods are called in the thread of the :class:`ClusterWatch`.
    """

    def __init__(self, engine: ClusterEngine, config: EngineConfig, cluster: ClusterConfig) -> None:
        self._engine = engine
        self._config = config
        self._cluster = cluster
        self._models = tuple(profile.name for profile in config.profiles)
        self._devices: dict[str, _Device] = {}
        self._seen: tuple[RayLink, tuple[RayNodeInfo, ...]] | None = None
        self._lock = threading.Lock()
        self._expected: Fingerprint | None = None

    def follow(self, link: RayLink, nodes: tuple[RayNodeInfo, ...]) -> None:
        """Make the engine's devices those of the nodes that are alive."""
        self._seen = link, nodes
        alive = {node.id for node in nodes}
        for name, device in tuple(self._devices.items()):
            if device.node_id not in alive:
                self._remove(name, "Its machine has left the cluster.")
        for node in nodes:
            for place, seat in seats_of(node, self._cluster, self._models):
                self._follow_seat(link, node, place, seat)

    def lose(self, error: EngineError) -> None:
        """Give all devices up: the cluster cannot be reached."""
        self._seen = None
        for name in tuple(self._devices):
            self._remove(name, str(error))
        if not isinstance(error, WorkerLost):  # a person has to do something about it
            self._engine.fail(error)

    def tick(self) -> None:
        """Try devices again that have failed on nodes that are alive. On this machine alone that would be in vain."""
        failed = {device.name: device for device in self._engine.stats().devices if device.state == "failed"}
        if self._cluster.address == LOCAL and self._devices and self._devices.keys() <= failed.keys():
            self._engine.fail(DeviceLost(next(iter(failed.values())).failure))
        for name in failed.keys() & self._devices.keys():
            if time.monotonic() - self._devices[name].since > _RETRY_SECONDS:
                del self._devices[name]
        if self._seen is not None:
            self.follow(*self._seen)

    def _follow_seat(self, link: RayLink, node: RayNodeInfo, place: DevicePlace, seat: Seat) -> None:
        known = self._devices.get(place.name)
        if known is not None and known.node_id != node.id:  # two nodes on one machine
            place = replace(place, name=f"{place.name}~{node.id[:6]}")
            known = self._devices.get(place.name)
        if known is not None and node.draining and not known.draining:
            log.info("draining: device=%s", place.name)
            known.draining = True
            self._engine.drain_device(place.name)
        if known is not None or node.draining:
            return
        with suppress(EngineClosed, ValueError):  # the device that had the name before has not ended yet
            self._engine.add_device(place, lambda own: RayExecutor(self._config, own, link, seat, self._check))
            self._devices[place.name] = _Device(node.id, time.monotonic())
            log.info("found: device=%s", place.name)

    def _remove(self, name: str, why: str) -> None:
        log.warning("lost: device=%s: %s", name, why)
        del self._devices[name]
        self._engine.remove_device(name, DeviceLost(why))

    def _check(self, found: Fingerprint, where: str) -> str | None:
        """Return why a worker with this fingerprint may not work; the first one decides what the others must have."""
        with self._lock:
            if self._expected is None:
                self._expected = found
            return self._expected.difference(found, where)


class ClusterEngine(Engine):
    """An engine on a cluster, which it leaves when it is closed. Devices may come at any time."""

    _watch: ClusterWatch
    _cluster_stage = ""

    @classmethod
    def start_on(cls, cluster: ClusterConfig, config: EngineConfig) -> ClusterEngine:
        """Return an engine, as :meth:`Engine.start` does, that has a device on each seat of the cluster."""
        engine = cls.start(config, places=())
        assert isinstance(engine, cls)
        engine.expect_devices(expected=True)
        engine.follow(cluster, config)
        return engine

    def follow(self, cluster: ClusterConfig, config: EngineConfig) -> None:
        """Begin to follow the nodes of the cluster."""
        devices = ClusterDevices(self, config, cluster)
        self._watch = ClusterWatch(cluster, devices.follow, devices.lose, devices.tick, self._note)
        self._watch.start()

    @property
    def stage(self) -> str:
        """See :attr:`Engine.stage`. Before there is a device, what is done to find one."""
        return super().stage or ("" if self._publisher.loaded.done() else self._cluster_stage)

    def fail(self, error: EngineError) -> None:
        """End for good, since a person has to do something before there can be a device. From any thread."""
        loaded = self._publisher.loaded.done()
        self._fleet.fail(error if not loaded or isinstance(error, DeviceLost) else DeviceLost(str(error)))

    async def close(self, *, drain: bool = False, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - as Engine's
        """See :meth:`Engine.close`. Ray, if it was started for this engine, has ended two seconds later."""
        try:
            await super().close(drain=drain, timeout=timeout)
        finally:
            await asyncio.to_thread(self._watch.stop, _STOPPING_SECONDS)

    def _note(self, stage: str) -> None:
        log.info("cluster: %s", stage)
        self._cluster_stage = stage


def start_on_cluster(cluster: ClusterConfig, config: EngineConfig) -> Engine:
    """Start an engine as :meth:`Engine.start` does, whose workers are actors of the cluster."""
    return ClusterEngine.start_on(cluster, config)
