"""Text for Discord: escaping of untrusted text, length limits, results and durations in words."""

from __future__ import annotations

import re

from bot.inert import cut, inert, one_line, utf16_length
from bot.jobs.job import Kind
from bot.requests.options import OPTIONS
from bot.requests.spec import ImageSpec

MESSAGE_LIMIT = 2000
ALT_TEXT_LIMIT = 1024
_SEEDS = re.compile(r"^(-# <@\d+> · )seeds? \d+(?:, \d+)*", re.MULTILINE)
_STRONG_FROM = 0.6
"""The least strength of a variation that is called strong; the buttons use 0.4 and 0.8."""


def readable(text: str) -> str:
    """Return the text that :func:`inert` made inline code at the end of ``text``; "" if there is none."""
    if not text.endswith("``") or "``" not in text[:-2]:
        return ""
    return text[:-2].rsplit("``", 1)[1].replace("`\u200b`", "``").strip()


def result_line(spec: ImageSpec, owner_id: int, seeds: list[int], seconds: float, model: str = "") -> str:
    """Return the small print under a result: owner, seeds, the options to generate it again, device seconds.

    ``model`` is the model's name for people, "" where there is no choice of models.
    """
    named = [one_line(model)] if model else []
    given = [text for option in OPTIONS if option.result is not None and (text := option.result(spec))]
    return "-# " + " · ".join([f"<@{owner_id}>", _seeds_text(seeds), *given, *named, f"{seconds:.1f} s"])


def with_seeds(text: str, seeds: list[int]) -> str:
    """Return a result's text with other seeds in its small print, for when pictures of it were deleted."""
    return _SEEDS.sub(lambda match: f"{match[1]}{_seeds_text(seeds)}", text, count=1)


def picture_alt_text(prompt: str, number: int, count: int) -> str:
    """Return what a screen reader says of picture ``number`` of ``count``: the prompt, and which of several it is."""
    which = f"Picture {number} of {count}: " if count > 1 else ""
    return cut(f"{which}{prompt}", ALT_TEXT_LIMIT)


def _seeds_text(seeds: list[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"


def made_from(link: str, kind: Kind = "edit", strength: float = 1.0) -> str:
    """Return how a picture was made from the one whose message is linked, such as "subtle variation of …"."""
    if kind == "upscale":
        return f"upscaled from {link}"
    if kind == "vary":
        return f"{'subtle' if strength < _STRONG_FROM else 'strong'} variation of {link}"
    return f"edit of {link}"


def result_text(
    spec: ImageSpec,
    owner_id: int,
    seeds: list[int],
    seconds: float,
    note: str,
    original_link: str | None = None,
    kind: Kind = "edit",
    *,
    model: str = "",
) -> str:
    """Return the text of a result message; a long prompt is cut to Discord's limit."""
    tail = [result_line(spec, owner_id, seeds, seconds, model)]
    if original_link:
        tail.append(f"-# {made_from(original_link, kind, spec.strength)}")
    if note:
        tail.append(f"-# {note}")
    room = MESSAGE_LIMIT - sum(utf16_length(line) + 1 for line in tail)
    lines: list[str] = []
    if spec.negative_prompt:
        negative = inert(spec.negative_prompt, min(400, room // 3))
        lines.append(f"without {negative}")
        room -= utf16_length(lines[0]) + 1
    return "\n".join([inert(spec.prompt, room - 1), *lines, *tail])


def duration(seconds: float) -> str:
    """Return a waiting time in words, such as "about 40 s" or "about 3 min"."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min"
