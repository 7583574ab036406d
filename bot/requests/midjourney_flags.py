"""The flags of Midjourney that have no meaning here, and how much of the text after each is its value.

Options of Z-Image that Midjourney has too (``--ar``, ``--seed``, ``--no``) are in :mod:`bot.requests.options`.
"""

from __future__ import annotations

import re

_NUMBER = r"\s*+(?:[=:]\s*+)?-?\.?\d[\d.,]*"
_WORD = r"\s*+(?:[=:]\s*+)?[a-z]\w*"
_REFERENCE = r"\s*+(?:[=:]\s*+)?(?:https?://\S+|random\b|(?=[a-z]*\d)[a-z0-9]+(?:::[\d.]+)?)"
"""A link, a code with a digit in it, each perhaps with a weight, or "random"."""

_KINDS = {
    "": "raw tile fast relax turbo draft hd stealth public video loop test testp creative beta hq uplight upbeta"
    " upanime",
    f"(?:{_NUMBER})?": "v version niji s stylize c chaos w weird q quality iw cw sw sv ow bs stop exp sameseed h width"
    " height",
    f"(?:{_WORD}|{_NUMBER})?": "style motion",
    f"(?:{_REFERENCE})*": "cref sref oref p personalize profile end",
}
MIDJOURNEY_FLAGS: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.IGNORECASE) for pattern, names in _KINDS.items() for name in names.split()
}
"""The pattern of what follows each flag."""

SAME_AS = {"repeat": "count", "r": "count", "ratio": "ar", "neg": "no"}
"""Flags of other programs that have another name here."""
