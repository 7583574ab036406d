"""The models that a bot offers, and which of them a request is for.

Members and programs name a model by its profile's name. Rows and PNGs have its title, which is for people.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from bot.inert import cut, in_quotes
from bot.media.resizing import nearest_size
from bot.requests.option_types import Option, SlashCommand
from bot.requests.options import MODEL, OPTIONS, fill, options_of
from bot.requests.spec import ImageOptions, ImageSpec, build_edit_spec, build_spec, choose_size
from zimage_engine.catalog import either
from zimage_engine.profiles import ModelProfile
from zimage_engine.types import ImageRequest, InvalidRequest

_DESCRIPTION_LIMIT = 100
"""Discord's limit for the description of a slash command's option."""


class ModelGone(InvalidRequest):
    """A picture or a stored job is of a model that the bot does not have."""

    def __init__(self, title: str, models: Models) -> None:
        of = f"the model {in_quotes(title, 40)}" if title else "its model"
        super().__init__(f"I no longer have {of}: ask for the picture again with {models.usual.title}.")


class Replaced(NamedTuple):
    """A model that a member expects and that is not used for them, as a text for people, and why."""

    expected: str
    why: str


@dataclass(frozen=True, slots=True)
class Models:
    """The complete profiles of the bot's models; the first is the default. Their names and titles differ.

    ``preferred`` is the model of a request that names none; None for the default. It is used instead of one that was
    ``replaced``, if the member expects another one. ``usable`` are those that the member may name; None for all.
    """

    profiles: tuple[ModelProfile, ...]
    preferred: ModelProfile | None = None
    replaced: Replaced | None = None
    usable: tuple[ModelProfile, ...] | None = None

    @property
    def default(self) -> ModelProfile:
        return self.profiles[0]

    @property
    def usual(self) -> ModelProfile:
        """The model of a request that names none."""
        return self.preferred or self.default

    @property
    def several(self) -> bool:
        return len(self.profiles) > 1

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(profile.name for profile in self.profiles)

    def chosen(
        self, allowed: Collection[str], own: str | None = None, of_picture: str = "", *, edit: bool = False
    ) -> Models:
        """Return the same models, preferring the one for a member's request that names none.

        That is the one with the title ``of_picture``, of the picture to change or to make again ("" if it is not
        known), else the member's ``own``, else the first of those ``allowed``. One that the bot does not have, that is
        not allowed or, for an ``edit``, cannot change pictures is replaced by the next of these.
        """
        fit = [each for each in self.profiles if not (edit and each.editing == "none")]
        usable = [each for each in fit if each.name in allowed]
        # Who may use none is refused; what they are refused names the model that they expect.
        among = usable or fit
        if not among:
            return replace(self, usable=())
        used, replaced = among[0], None
        wanted = [(own, self.named(own), " from your /settings")] if own is not None else []
        wanted += [(of_picture, self.titled(of_picture), "")] if of_picture else []
        for name, found, source in wanted:
            if found in among:
                used, replaced = found, None
                continue
            why = "it cannot change pictures"
            if found is None:
                why = "I do not have that model"
            elif found.name not in allowed:
                why = "you may not use that model here"
            replaced = Replaced(f"{in_quotes(found.title if found else name, 40)}{source}", why)
        return replace(self, preferred=used, replaced=replaced, usable=tuple(usable))

    @property
    def note(self) -> str:
        """What a member is told of the model of a request that names none; "" for nothing."""
        return f"With {self.instead}" if self.instead else ""

    @property
    def instead(self) -> str:
        """The end of a sentence that begins with what uses the model in place of the expected one; "" for nothing."""
        if self.replaced is None:
            return ""
        return f"{self.usual.title} instead of {self.replaced.expected}: {self.replaced.why}."

    def named(self, name: str | None) -> ModelProfile | None:
        """Return the model with a name; None if the bot has none."""
        return next((profile for profile in self.profiles if profile.name == name), None)

    def titled(self, title: str) -> ModelProfile | None:
        """Return the model with a title, as rows and PNGs have it; None if the bot has none."""
        return next((profile for profile in self.profiles if profile.title == title), None)

    def titled_or_default(self, title: str) -> ModelProfile:
        """Return the model with a title; the default one if the bot has none."""
        return self.titled(title) or self.default

    def of(self, options: ImageOptions) -> ModelProfile:
        """Return the model of a request whose flags have been read. Raises :class:`InvalidRequest`."""
        found = self.usual if options.model is None else self.named(options.model)
        if found is None:
            raise InvalidRequest(f"There is no model {in_quotes(options.model or '', 30)}: take {either(self.names)}.")
        return found

    def of_spec(self, spec: ImageSpec) -> ModelProfile:
        """Return the model of a spec. Raises :class:`ModelGone` if the bot does not have it."""
        found = self.titled(spec.model)
        if found is None:
            raise ModelGone(spec.model, self)
        return found

    def request(self, spec: ImageSpec, request_id: str) -> ImageRequest:
        """Return the engine's request for a spec, without its original. Raises :class:`ModelGone`."""
        return replace(spec.request(request_id), model=self.of_spec(spec).name)

    def flag_of(self, spec: ImageSpec) -> str | None:
        """Return the value of ``--model`` that asks for the spec's model again; None if there is nothing to choose."""
        found = self.titled(spec.model)
        return found.name if found is not None and self.several else None

    def options_in(self, command: SlashCommand, max_count: int) -> dict[str, str]:
        """Return the names of the options that a slash command offers, and their descriptions."""
        return {
            option.name: self._described(option, command, max_count)
            for option in OPTIONS
            if command in option.slash and self.offer(option, max_count)
        }

    def offer(self, option: Option[Any], max_count: int) -> bool:
        """Return whether one of the models takes the option."""
        if option is MODEL:
            return self.several
        return any(option.offered_by(profile, max_count) for profile in self.profiles)

    def bounds(self, option: Option[Any], max_count: int) -> tuple[float, float]:
        """Return the smallest and the largest value of an option that one of the models takes; the option has some."""
        assert option.bounds is not None, "an option of numbers"
        all_bounds = [option.bounds(profile, max_count) for profile in self.profiles]
        return min(low for low, _ in all_bounds), max(high for _, high in all_bounds)

    def _described(self, option: Option[Any], command: SlashCommand, max_count: int) -> str:
        offering = [profile for profile in self.profiles if option is MODEL or option.offered_by(profile, max_count)]
        texts = {fill(option.slash[command], profile, max_count) for profile in offering}
        if len(texts) == 1 and len(offering) == len(self.profiles):
            return texts.pop()
        what, each = option.slash_of_models
        if not what:
            return min(texts)
        values = ", ".join(fill(each, profile, max_count) for profile in offering)
        return cut(f"{what} {values}", _DESCRIPTION_LIMIT)


def fitted(options: ImageOptions, profile: ModelProfile) -> ImageOptions:
    """Return the options without what this model does not take: a picture is asked for again with another model."""
    changes: dict[str, Any] = {}
    for option in OPTIONS:
        value = getattr(options, option.name)
        if value is None or option is MODEL:
            continue
        if not option.offered_by(profile, 1):
            changes[option.name] = None
        elif option.bounds is not None and option.name != "count":
            low, high = option.bounds(profile, 1)
            changes[option.name] = value if low <= value <= high else None
    if options.size is not None and not _takes_size(options.size, profile):
        changes["size"] = None
    return replace(options, **changes)


def by_model(spec: ImageSpec, profile: ModelProfile) -> ImageSpec:
    """Return the spec as another model takes it; an edit keeps the names of its original and mask.

    The size is the spec's, or the one nearest to it. Raises :class:`InvalidRequest` if the model cannot generate it.
    """
    size = nearest_size(profile, spec.width, spec.height)
    options = replace(fitted(options_of(spec), profile), size=str(size))
    if not spec.original:
        return build_spec(options, profile, max_count=1)[0]
    edited, _ = build_edit_spec(options, profile, max_count=1, size=size, masked=bool(spec.mask))
    profile.check_edit(edited.strength, masked=bool(spec.mask))
    return replace(edited, original=spec.original, mask=spec.mask)


def _takes_size(text: str, profile: ModelProfile) -> bool:
    try:
        choose_size(text, None, profile)
    except InvalidRequest:
        return False
    return True
