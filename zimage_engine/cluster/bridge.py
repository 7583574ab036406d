"""The bot's end of an actor, in a child process of the bot: Ray's threads, signals and crashes stay out of the bot."""

from __future__ import annotations

import logging
import os
import signal
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from zimage_engine.cluster.actor import Assignment, DeviceActor, ModelLoaded
from zimage_engine.cluster.config import Seat
from zimage_engine.cluster.fingerprint import Fingerprint
from zimage_engine.cluster.link import RAY_MISSING, RayLink, set_ray_environment
from zimage_engine.device.child import Loaded, LoadFailed, Lost
from zimage_engine.executor import Finish
from zimage_engine.types import ImageRequest, NewRequest, NotAvailable, Plan, PlanResult, WorkerLost

log = logging.getLogger(__name__)

AHEAD_SECONDS = 0.5
"""Units up to this long are sent one ahead: a call takes 1 ms, and 10 ms with a picture of 3 MB."""

NAMESPACE = "zimage"
"""Of the names of the actors in the cluster."""

_BEAT_SECONDS = 1.0
_SILENCE_SECONDS, _LOADING_SILENCE_SECONDS = 7.0, 60.0
"""A process that does not answer for so long is lost. Importing and loading may stop its threads for long."""

Send = Callable[[Any], None]


class ActorWorker:
    """A :class:`~zimage_engine.executor.UnitWorker` whose plans an actor executes. ``ray`` is the module."""

    def __init__(self, ray: Any, actor: Any, loaded: Loaded, seat: Seat, send: Send) -> None:
        self.device = f"{loaded.device} of {seat.title}"
        self.costs, self.models, self.load_seconds = loaded.costs, loaded.models, loaded.load_seconds
        self.ahead_seconds = max(loaded.ahead_seconds, AHEAD_SECONDS)
        self._ray = ray
        self._actor = actor
        self._seat = seat
        self._send = send
        self._number = 0

    def begin(self, plan: Plan) -> Finish:
        """Send the plan to the actor; what is returned waits for the result."""
        reference = self._actor.run.options(concurrency_group="plans").remote(self._number, with_pixels(plan))
        self._number += 1
        return partial(self._finish, reference)

    def _finish(self, reference: Any) -> PlanResult:
        try:
            self._ray.wait([reference], fetch_local=True)
            answer: PlanResult | ModelLoaded | Lost = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            answer = Lost(_explain(error, self._seat))
        if isinstance(answer, Lost):
            self._send(answer)
            raise WorkerLost(answer.reason)
        if isinstance(answer, ModelLoaded):
            changed = answer.changed
            self.costs = {**self.costs, **changed.costs}
            self.models, self.load_seconds = changed.models, changed.load_seconds
            return answer.result
        return answer


def load_actor(link: RayLink, seat: Seat, assignment: Assignment, send: Send) -> ActorWorker:
    """Connect to the cluster, start an actor on the seat and load its worker.

    Sends the :class:`Fingerprint` before it loads, and afterwards what the actor logs. Raises :class:`EngineError`:
    :class:`WorkerLost` if another try may succeed.
    """
    silence()
    ray = connect(link)
    send("placing")
    options = {
        "name": f"{assignment.place.name}~{uuid.uuid4().hex[:8]}",
        "num_cpus": 0,
        "num_gpus": seat.gpus,
        "max_restarts": 0,
        "concurrency_groups": {"plans": 2, "news": 1},
        "scheduling_strategy": ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(seat.node_id, soft=False),
    }
    actor = ray.remote(**options)(DeviceActor).remote(assignment)
    beats = _Beats(ray, actor, seat, send)
    beats.start()

    def answer(reference: Any) -> Any:
        try:
            found = ray.get(reference)
        except ray.exceptions.RayError as error:
            raise WorkerLost(_explain(error, seat)) from None
        if isinstance(found, LoadFailed):
            raise found.error
        return found

    fingerprint: Fingerprint = answer(actor.fingerprint.remote())
    send(fingerprint)
    loaded: Loaded = answer(actor.load.remote())
    beats.be_quick()
    return ActorWorker(ray, actor, loaded, seat, send)


def silence() -> None:
    """Drop what Ray's own code prints in this child process: the bot's output may be JSON, line by line.

    What Python code prints to standard error still comes to the bot's log.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)
    os.close(nowhere)


def connect(link: RayLink) -> Any:
    """Connect this process to the cluster as a driver, and return the module ``ray``. Call it in the main thread.

    Raises :class:`NotAvailable` if Ray is not installed, :class:`WorkerLost` if the cluster cannot be used.
    """
    set_ray_environment(link)
    try:
        import ray  # noqa: PLC0415 - after its environment is set, and only where a cluster is used
    except ImportError as error:
        raise NotAvailable(RAY_MISSING) from error
    import ray.util.scheduling_strategies  # noqa: PLC0415

    ending = signal.getsignal(signal.SIGTERM)
    options: dict[str, Any] = {"_node_ip_address": link.node_ip} if link.node_ip and not link.loopback else {}
    try:
        ray.init(link.address, log_to_driver=False, configure_logging=False, namespace=NAMESPACE, **options)
    except (ray.exceptions.RayError, ConnectionError, RuntimeError, OSError) as error:
        said = " ".join(str(error).split())[:300]
        raise WorkerLost(f"The Ray cluster at {link.address} cannot be used ({said}).") from error
    finally:
        signal.signal(signal.SIGTERM, ending)  # Ray replaces it
    return ray


def with_pixels(plan: Plan) -> Plan:
    """Return the plan with the content of original and mask instead of paths, which another machine cannot open."""
    if not any(isinstance(file, Path) for new in plan.new for file in (new.request.original, new.request.mask)):
        return plan
    return replace(plan, new=tuple(NewRequest(_read(new.request), new.scope) for new in plan.new))


def _read(request: ImageRequest) -> ImageRequest:
    """Return the request with the content of its files; a file that cannot be read stays a path, and so fails later."""
    try:
        return replace(
            request,
            original=request.original.read_bytes() if isinstance(request.original, Path) else request.original,
            mask=request.mask.read_bytes() if isinstance(request.mask, Path) else request.mask,
        )
    except OSError:
        return request


class _Beats:
    """Asks the actor for news each second, and says so when it does not answer.

    Ray notices by itself that a process or a node has ended, but not that a process has been stopped.
    """

    def __init__(self, ray: Any, actor: Any, seat: Seat, send: Send) -> None:
        self._ray = ray
        self._actor = actor
        self._seat = seat
        self._send = send
        self._loaded = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="zimage-beats", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def be_quick(self) -> None:
        """Be less patient from now on: it is loaded."""
        self._loaded.set()

    def _beat(self) -> None:
        pause = threading.Event()
        while True:
            try:
                reference = self._actor.news.options(concurrency_group="news").remote()
                patience = _SILENCE_SECONDS if self._loaded.is_set() else _LOADING_SILENCE_SECONDS
                ready, _ = self._ray.wait([reference], timeout=patience)
                if not ready:
                    self._send(Lost(f"The worker on {self._seat.title} does not answer."))
                    return
                for each in self._ray.get(reference):
                    self._send(each)
            except self._ray.exceptions.RayError as error:
                self._send(Lost(_explain(error, self._seat)))
                return
            pause.wait(_BEAT_SECONDS)


def _explain(error: Exception, seat: Seat) -> str:
    log.debug("ray: %s", error)
    return f"The worker on {seat.title} was lost ({type(error).__name__})."
