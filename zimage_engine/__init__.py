"""The image engine: a queue, a driver and a worker around diffusers' Z-Image models. Usable without Discord.

Importing this package does not import torch; the worker does when :meth:`zimage_engine.engine.Engine.start` loads it.
"""

from zimage_engine.catalog import find_profile
from zimage_engine.profiles import ModelProfile, Size
from zimage_engine.types import (
    Cancelled,
    EngineError,
    Event,
    Failed,
    Finished,
    ImageRequest,
    InvalidRequest,
    Queued,
    RawImage,
    Step,
)

__all__ = [
    "Cancelled",
    "EngineError",
    "Event",
    "Failed",
    "Finished",
    "ImageRequest",
    "InvalidRequest",
    "ModelProfile",
    "Queued",
    "RawImage",
    "Size",
    "Step",
    "find_profile",
]
