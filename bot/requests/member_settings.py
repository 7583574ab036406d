"""What a member did not say is taken from their own settings; what they did say always wins."""

from __future__ import annotations

from dataclasses import replace

from bot.requests.spec import Wishes
from bot.store.member_settings import Preferences
from zimage_engine.profiles import ModelProfile, parse_aspect
from zimage_engine.types import InvalidRequest


def apply(
    preferences: Preferences,
    wishes: Wishes,
    private: bool | None,  # noqa: FBT001 - None where it was not said
    *,
    profile: ModelProfile,
    edit: bool,
    max_count: int | None = None,
) -> tuple[Wishes, bool, str]:
    """The wishes with the member's settings in the gaps, whether it is private, and what of the settings shows.

    The wishes are those after :func:`bot.requests.flags.read_flags`. An edit keeps its picture's shape, so it takes
    count and ``private`` alone; a prompt that was drawn before (``verbatim``) takes ``private`` alone. The text is such
    as "your settings: 16:9, large", and empty where the settings make no difference.
    """
    shown: list[str] = []
    if not edit and not wishes.verbatim:
        wishes = _with_shape(preferences, wishes, profile, shown)
    if preferences.count is not None and wishes.count is None and not wishes.verbatim:
        count = preferences.count if max_count is None else min(preferences.count, max_count)
        wishes = replace(wishes, count=count)
        if count > 1:
            shown.append(f"{count} pictures")
    if private is None:
        private = bool(preferences.private)
        if private:
            shown.append("private")
    return wishes, private, f"your settings: {', '.join(shown)}" if shown else ""


def _with_shape(preferences: Preferences, wishes: Wishes, profile: ModelProfile, shown: list[str]) -> Wishes:
    """Aspect and size, as far as this profile knows them; a size in pixels has a shape of its own."""
    in_pixels = wishes.size is not None and any(letter.isdigit() for letter in wishes.size)
    if preferences.aspect is not None and wishes.aspect is None and not in_pixels and _is_aspect(preferences.aspect):
        wishes = replace(wishes, aspect=preferences.aspect)
        if preferences.aspect != "1:1":
            shown.append(preferences.aspect)
    if preferences.size is not None and wishes.size is None and preferences.size in profile.scales:
        wishes = replace(wishes, size=preferences.size)
        if preferences.size != "medium":
            shown.append(preferences.size)
    return wishes


def _is_aspect(text: str) -> bool:
    try:
        parse_aspect(text)
    except InvalidRequest:
        return False
    return True
