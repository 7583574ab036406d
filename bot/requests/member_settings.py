"""What a member did not say is taken from their own settings; what they did say always wins."""

from __future__ import annotations

from dataclasses import replace

from bot.requests.spec import ImageOptions
from bot.store.member_settings import MemberSettings
from zimage_engine.profiles import ModelProfile, parse_aspect
from zimage_engine.types import InvalidRequest


def apply(
    member_settings: MemberSettings,
    options: ImageOptions,
    private: bool | None,  # noqa: FBT001 - None where it was not said
    *,
    profile: ModelProfile,
    edit: bool,
    max_count: int | None = None,
) -> tuple[ImageOptions, bool, str]:
    """The wishes with the member's settings in the gaps, whether it is private, and what of the settings shows.

    The wishes are those after :func:`bot.requests.flags.read_flags`. An edit keeps its picture's shape, so it takes
    count and ``private`` alone; a prompt that was drawn before (``verbatim``) takes ``private`` alone. The text is such
    as "your settings: 16:9, large", and empty where the settings make no difference.
    """
    shown: list[str] = []
    if not edit and not options.verbatim:
        options = _with_shape(member_settings, options, profile, shown)
    if member_settings.count is not None and options.count is None and not options.verbatim:
        count = member_settings.count if max_count is None else min(member_settings.count, max_count)
        options = replace(options, count=count)
        if count > 1:
            shown.append(f"{count} pictures")
    if private is None:
        private = bool(member_settings.private)
        if private:
            shown.append("private")
    return options, private, f"your settings: {', '.join(shown)}" if shown else ""


def _with_shape(
    member_settings: MemberSettings, options: ImageOptions, profile: ModelProfile, shown: list[str]
) -> ImageOptions:
    """Aspect and size, as far as this profile knows them; a size in pixels has a shape of its own."""
    in_pixels = options.size is not None and any(letter.isdigit() for letter in options.size)
    if (
        member_settings.aspect is not None
        and options.aspect is None
        and not in_pixels
        and _is_aspect(member_settings.aspect)
    ):
        options = replace(options, aspect=member_settings.aspect)
        if member_settings.aspect != "1:1":
            shown.append(member_settings.aspect)
    if member_settings.size is not None and options.size is None and member_settings.size in profile.scales:
        options = replace(options, size=member_settings.size)
        if member_settings.size != "medium":
            shown.append(member_settings.size)
    return options


def _is_aspect(text: str) -> bool:
    try:
        parse_aspect(text)
    except InvalidRequest:
        return False
    return True
