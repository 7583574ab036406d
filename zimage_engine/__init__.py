"""The image engine: a queue, a driver and a worker around diffusers' Z-Image models. Usable without Discord.

The names in ``__all__`` are its public interface, which ``docs/engine-api.md`` describes. Importing this package does
not import torch; the worker does when :meth:`zimage_engine.engine.Engine.start` loads it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zimage_engine.catalog import PROFILES, find_profile
from zimage_engine.config import WEIGHT_MAX, WEIGHT_MIN, EngineConfig
from zimage_engine.profiles import (
    DEFAULT_STRENGTH,
    PROMPT_LIMIT,
    SEED_LIMIT,
    Editing,
    ModelProfile,
    Range,
    Size,
    SizeName,
    parse_aspect,
    parse_size,
)
from zimage_engine.stats import EngineState, EngineStats, Observer, UnitRecord
from zimage_engine.types import (
    MASK_THRESHOLD,
    Cancelled,
    DeviceLost,
    DeviceNotFound,
    EngineClosed,
    EngineError,
    Event,
    Failed,
    Finished,
    ImageFile,
    ImageRequest,
    InvalidRequest,
    ModelNotFound,
    NotAvailable,
    NumericalError,
    OriginalUnreadable,
    OutOfMemory,
    Progress,
    Queued,
    RawImage,
    Step,
    Terminal,
    Unit,
    UnitFailed,
)

if TYPE_CHECKING:
    from zimage_engine.engine import Engine
    from zimage_engine.handle import Handle
    from zimage_engine.pixels import to_png
    from zimage_engine.weights import complete_profile

__all__ = [
    "DEFAULT_STRENGTH",
    "MASK_THRESHOLD",
    "PROFILES",
    "PROMPT_LIMIT",
    "SEED_LIMIT",
    "WEIGHT_MAX",
    "WEIGHT_MIN",
    "Cancelled",
    "DeviceLost",
    "DeviceNotFound",
    "Editing",
    "Engine",
    "EngineClosed",
    "EngineConfig",
    "EngineError",
    "EngineState",
    "EngineStats",
    "Event",
    "Failed",
    "Finished",
    "Handle",
    "ImageFile",
    "ImageRequest",
    "InvalidRequest",
    "ModelNotFound",
    "ModelProfile",
    "NotAvailable",
    "NumericalError",
    "Observer",
    "OriginalUnreadable",
    "OutOfMemory",
    "Progress",
    "Queued",
    "Range",
    "RawImage",
    "Size",
    "SizeName",
    "Step",
    "Terminal",
    "Unit",
    "UnitFailed",
    "UnitRecord",
    "complete_profile",
    "find_profile",
    "parse_aspect",
    "parse_size",
    "to_png",
]

_SLOW = {"Engine": "engine", "Handle": "handle", "complete_profile": "weights", "to_png": "pixels"}
"""Names by module. These modules import asyncio, Pillow and more, so they are imported when a name is first used."""


def __getattr__(name: str) -> Any:
    if name in _SLOW:
        return getattr(import_module(f"{__name__}.{_SLOW[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
