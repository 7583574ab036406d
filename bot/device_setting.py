"""The setting DEVICE."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from zimage_engine.places import parse_entries, without_models
from zimage_engine.types import DeviceNotFound


def _check(text: str) -> str:
    try:
        parse_entries(text)
    except DeviceNotFound as error:
        raise PydanticCustomError("device", "{reason}", {"reason": str(error).removesuffix(".")}) from error
    return text


def demo_device(setting: str) -> str:
    """Return where the demo model runs: on the CPU unless DEVICE names devices, whose models are others."""
    return "cpu" if setting == "auto" else without_models(setting)


DeviceSetting = Annotated[
    str,
    AfterValidator(_check),
    Field(
        description="Where pictures are generated: auto, the best device; all, every GPU; or names such as cpu, "
        "cuda:1, mps, several of them (cuda:0,cuda:1), several workers on one (cpu*2), or each with its models "
        "(cuda:0=ONE,cuda:1=ONE+OTHER). Several have a process each."
    ),
]
"""A text in the syntax of :func:`zimage_engine.places.parse_places`."""
