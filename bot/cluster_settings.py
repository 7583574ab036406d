"""The settings of a Ray cluster on which the model runs."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings

_ADDRESS = re.compile(r"local|auto|[A-Za-z0-9.-]{1,253}:[0-9]{1,5}", re.ASCII)


class ClusterSettings(BaseSettings):
    """A part of :class:`bot.settings.Settings`."""

    ray_address: str | None = Field(
        None,
        description="Run the model on a Ray cluster: local starts Ray on this machine, auto is the cluster whose node "
        "runs here, HOST:PORT another one. Empty: without Ray. See docs/cluster.md.",
    )
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = Field(
        "auto",
        description="With RAY_ADDRESS: the workers on each machine without a GPU, and the most on one with GPUs. auto: "
        "one for each GPU; on a machine without one none, with RAY_ADDRESS=local one.",
    )

    @field_validator("ray_address")
    @classmethod
    def _check_ray_address(cls, value: str | None) -> str | None:
        if value is not None and not _ADDRESS.fullmatch(value):
            raise PydanticCustomError("address", "Input should be local, auto, or a host and a port like 10.0.0.1:6379")
        return value
