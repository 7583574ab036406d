"""A member's own defaults: stored, shown, and used for the options that the member leaves out."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

from bot.requests.models import Models
from bot.requests.option_types import MemberDefault, Option
from bot.requests.options import MODEL, OPTIONS, PRIVATE, MemberSettings
from bot.requests.spec import ImageOptions
from bot.store import member_settings as store
from bot.store.database import Database
from zimage_engine.profiles import ModelProfile

_DEFAULTS: tuple[tuple[Option[Any], MemberDefault[Any]], ...] = tuple(
    (option, option.member) for option in OPTIONS if option.member is not None
)


async def read_member_settings(database: Database, member_id: int) -> MemberSettings:
    """Return what the member has set; a stored text that is no value (any more) counts as not set."""
    texts = await store.read_values(database, member_id)
    values: dict[str, Any] = {
        option.name: option.parse(texts[option.name]) for option, _ in _DEFAULTS if option.name in texts
    }
    return MemberSettings(**values)


def write_member_settings(connection: sqlite3.Connection, member_id: int, member_settings: MemberSettings) -> None:
    """Store the settings that are not None and keep the member's others. Part of a transaction."""
    values = {option.name: getattr(member_settings, option.name) for option, _ in _DEFAULTS}
    texts = {
        option.name: option.format(values[option.name]) for option, _ in _DEFAULTS if values[option.name] is not None
    }
    store.write_values(connection, member_id, texts)


def member_settings_text(member_settings: MemberSettings, models: Models) -> str:
    """Return the text of ``/settings``: each value, and whether it is the program's default or not usable here.

    ``models`` are those of :meth:`Models.chosen` for the member's own model.
    """
    profile = models.usual
    shown = [each for each in _DEFAULTS if each[0] is not MODEL or models.several]
    lines = [
        _line(option, default, getattr(member_settings, option.name), models, profile) for option, default in shown
    ]
    for_edits = " and ".join(option.name for option, default in shown if default.for_edits)
    own = ", and one of my pictures its model" if models.several else ""
    return "\n".join(
        [
            "Your defaults, for options that you leave out:",
            *lines,
            f"-# An edit keeps its picture's shape{own}: only {for_edits} apply to it.",
        ]
    )


def _line(option: Option[Any], default: MemberDefault[Any], value: Any, models: Models, profile: ModelProfile) -> str:
    if option is MODEL:
        if value is None:
            return f"**{option.name}**: {profile.name} (default)"
        if models.replaced is not None:
            return f"**{option.name}**: {value}, but {profile.name} is used: {models.replaced.why}."
        return f"**{option.name}**: {value}"
    if value is None:
        return f"**{option.name}**: {default.builtin} (default)"
    if default.applied(value, ImageOptions(""), profile, None) is None:
        return f"**{option.name}**: {option.format(value)}, which {profile.title} does not know"
    return f"**{option.name}**: {option.format(value)}"


def apply(
    member_settings: MemberSettings,
    options: ImageOptions,
    private: bool | None,  # noqa: FBT001 - None if it was not given
    *,
    profile: ModelProfile,
    edit: bool,
    max_count: int | None = None,
) -> tuple[ImageOptions, bool, str]:
    """Return the options completed by the member's settings, whether the picture is private, and a note.

    ``profile`` is the model of the request, for which the member's own one was considered before.

    ``options`` are those of :func:`bot.requests.flags.read_flags`; what they or ``private`` say is never changed. An
    edit keeps the shape of its picture and takes count and private alone; the options of an earlier image
    (``complete``) take private alone. ``max_count`` is the largest count allowed, None for no limit. The note is such
    as "With 16:9, large from your /settings.", and empty if the settings make no difference.
    """
    notes: list[str] = []
    chosen = options.model is None and not edit and not options.complete
    if chosen and member_settings.model == profile.name:
        options = replace(options, model=profile.name)
        notes.append(profile.name)
    for option, default in _DEFAULTS:
        value = getattr(member_settings, option.name)
        if value is None or options.complete or (edit and not default.for_edits) or option is PRIVATE:
            continue
        if getattr(options, option.name) is not None:
            continue
        applied = default.applied(value, options, profile, max_count)
        if applied is not None:
            changes: dict[str, Any] = {option.name: applied}
            options = replace(options, **changes)
            notes.append(default.note(applied))
    if private is None:
        private = bool(member_settings.private)
        if private:
            notes.append("private")
    shown = ", ".join(note for note in notes if note)
    return options, private, f"With {shown} from your /settings." if shown else ""
