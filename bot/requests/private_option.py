"""A request for a private picture in a message, which cannot be answered privately."""

from __future__ import annotations

from dataclasses import replace

from bot.requests.refusals import Alternative, RequestRefused
from bot.requests.spec import ImageOptions


def public_of(options: ImageOptions, *, direct: bool) -> bool:
    """Return False: what a message asks for is sent to its channel.

    Raises :class:`RequestRefused` if it asks for a private picture; in direct messages nobody else sees it anyway.
    """
    if options.private and not direct:
        raise RequestRefused(
            "My answer to a message is public. For a picture that only you see use /edit, or right-click the picture "
            "→ Apps → **Edit image**: there `--private` works.",
            Alternative("Generate in public", replace(options, private=False)),
        )
    return False
