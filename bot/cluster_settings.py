"""The settings of a Ray cluster on which the model runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings

from zimage_engine.cluster.config import AUTO, LOCAL, is_address
from zimage_engine.places import PLACES_MAX


class ClusterSettings(BaseSettings):
    """A part of :class:`bot.settings.Settings`."""

    ray_address: str | None = Field(
        None,
        description="Run the model on a Ray cluster: local starts Ray on this machine, auto is the cluster whose node "
        "runs here, HOST:PORT another one. Empty: without Ray. See docs/cluster.md.",
    )
    workers: Literal["auto"] | int = Field(
        "auto",
        description="With RAY_ADDRESS: the workers on each machine without a GPU, and the most on one with GPUs. auto: "
        "one for each GPU; on a machine without one none, with RAY_ADDRESS=local one.",
    )

    @field_validator("ray_address")
    @classmethod
    def _check_ray_address(cls, value: str | None) -> str | None:
        if value is not None and value not in (LOCAL, AUTO) and not is_address(value):
            raise PydanticCustomError("address", "Input should be local, auto, or a host and a port like 10.0.0.1:6379")
        return value

    @field_validator("workers", mode="before")
    @classmethod
    def _check_workers(cls, value: object) -> object:
        """Say all that it takes in one sentence: a union's own error names its first type alone."""
        if value != "auto" and not (str(value).isdecimal() and 1 <= int(str(value)) <= PLACES_MAX):
            raise PydanticCustomError(
                "workers", "Input should be auto or a whole number from 1 to {most}", {"most": PLACES_MAX}
            )
        return value
