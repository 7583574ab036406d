"""Text for Discord: other people's words made harmless, lengths kept, times and sizes for people."""

from __future__ import annotations

from bot.requests.options import OPTIONS
from bot.requests.spec import ImageSpec

MESSAGE_LIMIT = 2000
ALT_TEXT_LIMIT = 1024
_BIDI_OVERRIDES = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
"""Characters that turn the direction of the text around them, and of ours with it."""


def cut(text: str, limit: int) -> str:
    """The text, or its beginning with "…" where it is longer than ``limit`` characters."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def inert(text: str, limit: int) -> str:
    """Somebody's text as inline code on one line of at most ``limit`` characters: nothing in it comes alive.

    Double backticks carry single ones; runs of backticks are pulled apart with a zero-width space.
    """
    line = " ".join(text.translate(_BIDI_OVERRIDES).split())
    while "``" in line:
        line = line.replace("``", "`\u200b`")
    line = cut(line, limit - 6)
    # A backtick at an edge would join the fence.
    line = f" {line}" if line.startswith("`") else line
    line = f"{line} " if line.endswith("`") else line
    return f"``{line}``"


def result_line(spec: ImageSpec, owner_id: int, seeds: list[int], seconds: float) -> str:
    """Who asked, and what it takes to draw it again, in small print."""
    seed = f"seed {seeds[0]}" if len(seeds) == 1 else "seeds " + ", ".join(map(str, seeds))
    given = [text for option in OPTIONS if option.result is not None and (text := option.result(spec))]
    return "-# " + " · ".join([f"<@{owner_id}>", seed, *given, f"{seconds:.1f} s"])


def made_from(link: str) -> str:
    """ "edit of …" with a link to the message where the original stands."""
    return f"edit of {link}"


def result_text(
    spec: ImageSpec, owner_id: int, seeds: list[int], seconds: float, note: str, original_link: str | None = None
) -> str:
    """The result message's text, within Discord's limit whatever the prompt."""
    tail = [result_line(spec, owner_id, seeds, seconds)]
    if original_link:
        tail.append(f"-# {made_from(original_link)}")
    if note:
        tail.append(f"-# {note}")
    room = MESSAGE_LIMIT - sum(len(line) + 1 for line in tail)
    lines: list[str] = []
    if spec.negative_prompt:
        negative = inert(spec.negative_prompt, min(400, room // 3))
        lines.append(f"without {negative}")
        room -= len(lines[0]) + 1
    return "\n".join([inert(spec.prompt, room - 1), *lines, *tail])


def duration(seconds: float) -> str:
    """ "about 40 s", "about 3 min": what people need to know of a wait."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min"
