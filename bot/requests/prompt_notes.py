"""Notes about syntax of other programs in a prompt, which the model reads as ordinary words."""

from __future__ import annotations

import re

from bot.requests.flag_scanner import plain

# Possessive: a number is not tried again in parts, which takes a second for one of 4,000 digits.
_NUMBER = r"(?:\d++(?:\.\d++)?|\.\d++)"
_MEANINGLESS = (
    (re.compile(rf"\S::(?:-?{_NUMBER})?(?=[\s,]|$)"), "`::2`"),
    (re.compile(rf"\([^():]*[^\d():]:\s*+{_NUMBER}\)"), "`(x:1.3)`"),
    (re.compile(r"<(?:lora|lyco|hypernet|embedding|wildcard):[^<>]+>", re.IGNORECASE), "`<lora:…>`"),
)
"""Weights of Midjourney, weights and models of Stable Diffusion programs; with what they are called in a note."""
_LINK = re.compile(r"https?://\S", re.IGNORECASE)


def prompt_notes(prompt: str) -> str:
    """Return what has no meaning in a prompt, in one line; empty if there is nothing."""
    text = plain(prompt)
    shown = [name for pattern, name in _MEANINGLESS if pattern.search(text)]
    notes: list[str] = []
    if len(shown) == 1:
        notes.append(f"{shown[0]} has no meaning here: the model reads it as words.")
    elif shown:
        notes.append(f"{', '.join(shown[:-1])} and {shown[-1]} have no meaning here: the model reads them as words.")
    if _LINK.search(text):
        notes.append("A link is not opened: to change a picture, use /edit.")
    return " ".join(notes)
