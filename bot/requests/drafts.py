"""Drafts: what a member asked for, as text, so that a refused or failed request can be edited and asked for again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from bot.errors import Refusal
from bot.inert import in_quotes
from bot.requests.flag_scanner import plain
from bot.requests.flags import EDIT_FLAGS, FLAGS, options_with_flags, read_flags
from bot.requests.models import Models, fitted
from bot.requests.options import NEGATIVE, OPTIONS, PRIVATE, options_of
from bot.requests.refusals import Alternative
from bot.requests.spec import ImageOptions, ImageSpec
from bot.store import drafts as store
from bot.store.database import Database
from zimage_engine.types import InvalidRequest

_IN_OTHER_FIELDS = (NEGATIVE, PRIVATE)
"""Options with a field of their own in a draft, so that they are no flags there."""
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Draft:
    """A request as its member typed it.

    ``flags`` are the options that were not part of the ``prompt``, as one line such as ``--ar 16:9 --seed 7``.
    ``private`` is None if it was not given. ``picture`` names the picture to edit: see
    :mod:`bot.commands.draft_pictures`; "" if it is not known, None for a request for new pictures. ``mask`` names the
    mask in the same way, "" for none. ``alternatives`` are requests that were offered in its place.
    """

    prompt: str
    negative: str = ""
    flags: str = ""
    private: bool | None = None
    picture: str | None = None
    mask: str = ""
    alternatives: tuple[Alternative, ...] = ()

    @classmethod
    def of(
        cls, options: ImageOptions, *, private: bool | None = None, picture: str | None = None, mask: str = ""
    ) -> Draft:
        """Return the draft of a request with these options."""
        private = options.private if private is None else private
        return cls(options.prompt, options.negative or "", flags_text(options), private, picture, mask)

    @property
    def is_edit(self) -> bool:
        return self.picture is not None

    @property
    def typed(self) -> str:
        """The whole request as a prompt with flags."""
        negative = f"--{NEGATIVE.flags[0]} {self.negative}" if self.negative else ""
        return " ".join(part for part in (self.prompt, negative, self.flags) if part)

    def options(self) -> ImageOptions:
        """Return the options of the draft; flags in the prompt stay there and take precedence over the other fields.

        A line of flags that cannot be read is left in the prompt, whose flags are read when the request is submitted.
        Raises :class:`InvalidRequest` if the line does not begin with a flag.
        """
        line = self.flags.strip()
        if line and not plain(line).startswith(("--", "—")):
            raise InvalidRequest(f"Options are flags, like --ar 16:9 --seed 7; {in_quotes(line, 30)} is none.")
        in_prompt = options_with_flags(self.prompt)
        values: dict[str, Any] = {"negative": self.negative or None, "private": self.private}
        try:
            in_line = read_flags(ImageOptions(line), EDIT_FLAGS if self.is_edit else FLAGS)
        except (InvalidRequest, Refusal):
            in_line = ImageOptions(line)
            in_prompt |= options_with_flags(line)
        values |= _given(in_line)
        prompt = f"{self.prompt} {in_line.prompt}".strip()
        return ImageOptions(prompt, **{name: value for name, value in values.items() if name not in in_prompt})

    def to_json(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["alternatives"] = [
            {"label": each.label, "options": {"prompt": each.options.prompt, **_given(each.options)}}
            for each in self.alternatives
        ]
        return _ENCODER.encode(values)

    @classmethod
    def from_json(cls, text: str) -> Draft:
        """Return the draft that :meth:`to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        offered = values.pop("alternatives", [])
        alternatives = tuple(Alternative(each["label"], _options(each["options"])) for each in offered)
        return cls(**{name: values[name] for name in values if name in cls.__dataclass_fields__}).offering(alternatives)

    def offering(self, alternatives: tuple[Alternative, ...]) -> Draft:
        """Return the draft with these requests in its place."""
        return replace(self, alternatives=alternatives)


class RequestError(Exception):
    """A request failed because of ``original``; ``draft`` is what was asked for."""

    def __init__(self, draft: Draft, original: Exception) -> None:
        super().__init__(str(original))
        self.draft = draft
        self.original = original


@contextmanager
def drafted(draft: Draft) -> Iterator[None]:
    """Turn the errors of a request into a :class:`RequestError` with what was asked for."""
    try:
        yield
    except RequestError:
        raise
    except Exception as error:
        raise RequestError(draft, error) from error


def repeated_options(spec: ImageSpec, models: Models) -> ImageOptions:
    """Return the options that ask for the spec again, with another seed, and without what is its model's default.

    ``models`` are those of :meth:`Models.chosen` for the spec's model. If that is replaced, the options are what the
    other model takes of it.
    """
    profile = models.titled(spec.model)
    if profile is None or models.replaced:
        profile = models.usual
    options = fitted(options_of(spec), profile)
    return replace(
        options,
        model=profile.name if models.several else None,
        seed=None,
        steps=None if options.steps == profile.steps.default else options.steps,
        guidance=None if options.guidance == profile.guidance.default else options.guidance,
    )


def flags_text(options: ImageOptions) -> str:
    """Return the options as one line of flags, without those that have a field of their own in a draft."""
    given = [(option, getattr(options, option.name, None)) for option in OPTIONS if option not in _IN_OTHER_FIELDS]
    return " ".join(
        f"--{option.flags[0]} {option.format(value)}" for option, value in given if value is not None and option.flags
    )


async def keep_draft(database: Database, owner_id: int, draft: Draft) -> int:
    """Keep a draft for its owner, for a day, and return its id."""
    return await database.write(partial(store.keep, owner_id=owner_id, request=draft.to_json(), now=int(time.time())))


async def find_draft(database: Database, draft_id: int) -> tuple[Draft, int] | None:
    """Return the draft and its owner's id; None if it is not kept any more."""
    row = await database.read(partial(store.find, draft_id=draft_id, now=int(time.time())))
    return (Draft.from_json(row.request), row.owner_id) if row is not None else None


def _given(options: ImageOptions) -> dict[str, Any]:
    """Return the options that differ from "not given", besides the prompt."""
    nothing = ImageOptions(options.prompt)
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return {name: value for name, value in values.items() if value != getattr(nothing, name)}


def _options(values: dict[str, Any]) -> ImageOptions:
    return ImageOptions(**{name: values[name] for name in values if name in ImageOptions.__dataclass_fields__})
