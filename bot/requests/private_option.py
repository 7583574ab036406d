"""Whether a picture is to be private: by a command's option, or by a flag in the prompt."""

from __future__ import annotations

from dataclasses import replace

from bot.requests.refusals import Alternative, RequestRefused
from bot.requests.spec import ImageOptions
from zimage_engine.types import InvalidRequest


def private_of(options: ImageOptions, private: bool | None) -> bool | None:  # noqa: FBT001 - a command's option
    """Return whether the picture is to be private, by a flag that was read or the command's option; None for neither.

    Raises :class:`InvalidRequest` if they say different things.
    """
    if options.private is None or private is None:
        return private if options.private is None else options.private
    if options.private != private:
        raise InvalidRequest("`--private` is given twice: say once whether the picture is private.")
    return private


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
