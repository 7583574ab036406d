"""The settings that name the models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode

from zimage_engine.catalog import CPU_PROFILE, GPU_PROFILE, PROFILES, either

if TYPE_CHECKING:
    ProfileName = str
else:
    ProfileName = Literal[("auto", *PROFILES)]  # mypy does not follow a Literal that is computed


class ModelSettings(BaseSettings):
    """Which models the bot offers, and their weights."""

    profile: ProfileName = Field(
        "auto",
        description=f"What the model can do: {either(PROFILES)}. "
        f"auto: {GPU_PROFILE} on a GPU, {CPU_PROFILE} without one.",
    )
    profiles: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Instead of PROFILE several models, separated by commas, for members to choose from; the first is "
        "the default.",
    )
    model: str | None = Field(
        None,
        description="A folder or hub id in diffusers' layout to load instead of the profile's own weights; with "
        f"PROFILES pairs, such as {GPU_PROFILE}=/models/mine.",
    )

    @field_validator("profiles", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        names = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        if isinstance(names, list | tuple):
            if any(name not in PROFILES for name in names):
                raise PydanticCustomError(
                    "profiles", "Input should be names out of {names}, separated by commas", {"names": either(PROFILES)}
                )
            if len(set(names)) < len(names):
                raise PydanticCustomError("profiles", "Input has a model twice: name each once")
        return names
