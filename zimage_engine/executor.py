"""What the engine needs of whatever executes plans. Importing this loads no torch; the functions do when called."""

from __future__ import annotations

from typing import Protocol

from zimage_engine.config import EngineConfig
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import Plan, PlanResult
from zimage_engine.weights import Report


class Executor(Protocol):
    """One model on one device. ``device`` is a name for people; ``costs`` are what its units take in seconds."""

    device: str
    costs: CostModel

    def execute(self, plan: Plan) -> PlanResult:
        """Do one unit; blocks. Failures of single requests stand in the result.

        Raises if the executor is lost; the engine then replaces it.
        """
        ...


def import_worker() -> None:
    """Import what :func:`load_executor` needs. Blocks for seconds, most of them without letting other threads run."""
    from zimage_engine.device import worker  # noqa: F401, PLC0415 - imports torch, diffusers and transformers


def load_executor(config: EngineConfig, report: Report) -> Executor:
    """Load the model into a worker in this process; takes seconds to minutes. Raises :class:`EngineError`."""
    from zimage_engine.device.worker import Worker  # noqa: PLC0415 - imports torch, diffusers and transformers

    return Worker.load(config, report)


def free_memory() -> None:
    """Return the memory of a worker that was dropped to the device."""
    from zimage_engine.device import out_of_memory  # noqa: PLC0415 - imports torch

    out_of_memory.free_memory()
