"""The setting DEVICE."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from zimage_engine.places import models_in, parse_entries, without_models
from zimage_engine.types import DeviceNotFound


def _check(text: str) -> str:
    try:
        parse_entries(text)
    except DeviceNotFound as error:
        raise PydanticCustomError("device", "{reason}", {"reason": str(error).removesuffix(".")}) from error
    return text


def demo_device(setting: str, names: Collection[str]) -> str:
    """Return where the demo models of these names run: on the CPU unless DEVICE names devices.

    The models that it gives them count only if all are among ``names``: others are the bot's on Discord.
    """
    if setting == "auto":
        return "cpu"
    return setting if models_in(setting) <= set(names) else without_models(setting)


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
