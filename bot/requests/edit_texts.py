"""What the text of an edit asks for: ``edit: …`` in a reply, ``+ …`` for more in the same picture, or an instruction.

A model that edits by img2img reads its prompt as a description of the whole result. An instruction such as "make it
green" says nothing of what the picture shows, so it is answered with a description to give instead.
"""

from __future__ import annotations

import re
from dataclasses import replace

from bot.errors import Refusal
from bot.requests.refusals import Alternative, RequestRefused
from bot.requests.spec import ImageOptions
from zimage_engine.profiles import ModelProfile

GENERATE_ANYWAY = "Generate anyway"
_COMMAND = re.compile(r"/?edit(?:\s*[:：]\s*|\s+|$)", re.IGNORECASE)
_MORE = re.compile(r"[+＋](?!\d)")
_EXAMPLE = "a green circle on a blue background"
_EXAMPLE_LENGTH = 300

_THIS = r"(?:it|this|that|these|those|the|him|her|his|its|them|their|my|all|every\w*)\b"
_ENGLISH = re.compile(
    r"(?:(?:please|can you|could you|now|just)\s+)*"
    rf"(?:(?:make|change|turn|replace|give)\s+{_THIS}"
    r"|(?:change|replace)\s+(?:colou?rs?|background)\b"
    r"|add\s+\w"
    r"|remove\s+(?!before\b)\w"
    rf"|put\s+(?:an?\b|some\b|{_THIS}))",
    re.IGNORECASE,
)
_CHINESE = re.compile(
    r"请?(?:(?:把|将(?!军|来)).+?(?:改|换|变|去掉|删|移|加|涂|放)"
    r"|加(?:上|个|一|两|几|点|些)|添加|去掉|去除|删掉|删除|移除|改成|换成|变成)"
)
_ENGLISH_COLOUR = re.compile(
    r"\b(?:red|orange|yellow|green|blue|purple|violet|pink|brown|black|white|gr[ae]y|gold|golden|silver)\b",
    re.IGNORECASE,
)
_CHINESE_COLOUR = re.compile(r"(?:[红橙黄绿蓝紫粉棕黑白灰金银])色")
_ADDED = re.compile(r"(?:please\s+)?(?:add|put)\s+(?P<what>.+)", re.IGNORECASE)


def text_after_command(text: str) -> str | None:
    """Return what follows ``edit:``, ``edit`` or ``/edit`` at the beginning of a message; None without such a word."""
    match = _COMMAND.match(text)
    return text[match.end() :].strip() if match is not None else None


def complete_prompt(options: ImageOptions, original: str, profile: ModelProfile) -> ImageOptions:
    """Return the options of an edit with a prompt that describes the whole result, as the model reads it.

    ``original`` is the prompt of the picture that is edited, "" if it is not known. ``+ at night`` is added to it.
    Raises :class:`Refusal` if there is nothing to add to, and :class:`RequestRefused` if the prompt is an instruction
    that the model does not take.
    """
    if options.verbatim:
        return options
    text = options.prompt.strip()
    if _MORE.match(text):
        return replace(options, prompt=_with_more(text[1:], original))
    if profile.editing == "img2img" and is_instruction(text):
        raise RequestRefused(
            f"This model doesn't take instructions. Describe the whole result: `{example_of_result(text, original)}`.",
            Alternative(GENERATE_ANYWAY, replace(options, verbatim=True)),
        )
    return options


def is_instruction(text: str) -> bool:
    """Return whether a prompt begins like an instruction ("make it green") and not like a description."""
    line = " ".join(text.split())
    return _ENGLISH.match(line) is not None or _CHINESE.match(line) is not None


def example_of_result(instruction: str, original: str) -> str:
    """Return a prompt that describes what an instruction would make of a picture, as far as that is easily told.

    ``original`` is the picture's own prompt. Without it, or if nothing can be told, the example is a fixed one.
    """
    known = " ".join(original.split()).replace("`", "'")
    changed = _recoloured(instruction, known) or _enlarged(instruction, known)
    return changed if changed is not None and len(changed) <= _EXAMPLE_LENGTH else _EXAMPLE


def _with_more(addition: str, original: str) -> str:
    more = addition.strip(" \t\n,，")
    if not more:
        raise Refusal("Say what to add after the +, like: + at night")
    if not original.strip():
        raise Refusal(
            "I don't know what this picture was made from, so there is nothing to add to: describe the whole picture."
        )
    before = original.rstrip(" \t\n,，.。")
    chinese = "\u3400" <= before[-1:] <= "\u9fff"
    return f"{before}，{more}" if chinese else f"{before}, {more}"


def _recoloured(instruction: str, original: str) -> str | None:
    """Return the original with one colour replaced by the instruction's last; None if either names no colour."""
    for colours in (_ENGLISH_COLOUR, _CHINESE_COLOUR):
        wanted, found = colours.findall(instruction), list(colours.finditer(original))
        if wanted and found:
            # "turn the circle red" is about the colour before "circle", and not about the first one.
            chosen = next((match for match in found if _following(original, match) in instruction), found[0])
            return original[: chosen.start()] + str(wanted[-1]).lower() + original[chosen.end() :]
    return None


def _following(text: str, match: re.Match[str]) -> str:
    """Return the word after a match, or the two characters after it in Chinese."""
    rest = text[match.end() :].strip()
    if not rest:
        return text
    return rest.split()[0].strip(",.") if rest.isascii() else rest.removeprefix("的")[:2]


def _enlarged(instruction: str, original: str) -> str | None:
    """Return the original with what an instruction adds; None if it adds nothing, or the original is not known."""
    added = _ADDED.match(" ".join(instruction.split()))
    if added is None or not original:
        return None
    return f"{original.rstrip(' ,.')}, with {added['what'].rstrip(' .!').replace('`', '')}"
