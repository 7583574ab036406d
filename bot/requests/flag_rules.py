"""What the flags of one prompt may say: as the model of the request and the operator allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bot.requests.flag_faults import range_text
from bot.requests.models import Models
from bot.requests.option_types import Option
from bot.requests.options import MODEL
from zimage_engine.catalog import either
from zimage_engine.profiles import ModelProfile


@dataclass(frozen=True, slots=True)
class FlagRules:
    """The rules for the flags of a prompt. ``profile`` is the request's model; None if it may be any of ``models``.

    Without ``models`` every value that an option takes anywhere is allowed. ``note`` says why the model is not the one
    that the member expects; "" if it is.
    """

    models: Models | None
    profile: ModelProfile | None
    max_count: int
    note: str = ""

    @property
    def title(self) -> str:
        """The model's name for people; "" without models."""
        if self.models is None:
            return ""
        return (self.profile or self.models.usual).title

    def is_offered(self, option: Option[Any]) -> bool:
        if self.models is None:
            return True
        if self.profile is None or option is MODEL:
            return self.models.offer(option, self.max_count)
        return option.offered_by(self.profile, self.max_count)

    def instead(self, option: Option[Any]) -> str:
        """Return what to do as the model does not offer the option: "" for nothing but to leave it out."""
        if self.models is None:
            return option.instead
        usable = self.models.profiles if self.models.usable is None else self.models.usable
        takers = [f"`--model {each.name}`" for each in usable if option.offered_by(each, self.max_count)]
        return f"use {either(takers)}" if takers else option.instead

    def is_allowed(self, option: Option[Any], value: Any) -> bool:
        """Return whether the model and the operator allow a valid value, as far as the option has bounds."""
        if option is MODEL and self.models is not None:
            return self.models.named(value) is not None
        bounds = self._bounds(option)
        if bounds is None:
            return self.is_offered(option)
        return value is not None and bounds[0] <= value <= bounds[1]

    def takes(self, option: Option[Any]) -> str:
        """Return the end of the sentence "--flag takes …"."""
        if option is MODEL and self.models is not None:
            return either(self.models.names)
        bounds = self._bounds(option)
        return option.takes if bounds is None else range_text(option, *bounds)

    def _bounds(self, option: Option[Any]) -> tuple[float, float] | None:
        """Return the smallest and the largest value allowed; None if the option has no bounds."""
        if option.bounds is None or self.models is None:
            return None
        if self.profile is None:
            return self.models.bounds(option, self.max_count)
        return option.bounds(self.profile, self.max_count)
