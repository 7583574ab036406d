"""Names of pictures to edit, as drafts keep them: a letter for the kind, and what finds the picture again.

``i`` an image's id, ``u`` an upload's id, ``m`` the ids of a channel and a message, ``a`` an attachment as Discord
described it, ``s`` the text of a ``source`` option, ``n`` the newest picture of the channel, ``o`` the name of an
original's file, and ``p`` that of a private job, whose pictures stay private; ``|`` before the name marks a spoiler.
:mod:`bot.commands.draft_pictures` finds the picture of a name.
"""

from __future__ import annotations

import json
from typing import Any

import discord

NEWEST = "n"
_SPOILER = "|"


def attachment_reference(attachment: discord.Attachment) -> str:
    """Return the name of an attachment. Its URL is Discord's own, and lasts about as long as a draft."""
    return "a" + json.dumps(attachment.to_dict())


def attachment_of(reference: str, state: Any) -> discord.Attachment:
    """Return the attachment that :func:`attachment_reference` named; ``state`` is the client's connection state."""
    return discord.Attachment(data=json.loads(reference[1:]), state=state)


def source_reference(source: str) -> str:
    """Return the name of what a ``source`` option says."""
    return f"s{source}"


def source_of(reference: str) -> str | None:
    """Return what the ``source`` option says that :func:`source_reference` named; None for other names."""
    return reference[1:] if reference.startswith("s") else None


def message_reference(channel_id: int, message_id: int) -> str:
    """Return the name of a message's picture; which one of several, the options say."""
    return f"m{channel_id}-{message_id}"


def image_reference(image_id: str) -> str:
    return f"i{image_id}"


def upload_reference(upload_id: str) -> str:
    return f"u{upload_id}"


def original_reference(name: str, *, private: bool = False, spoiler: bool = False) -> str:
    return f"{'p' if private else 'o'}{_SPOILER if spoiler else ''}{name}"


def original_of(rest: str) -> tuple[str, bool]:
    """Return the file's name of an original's name without its letter, and whether it is a spoiler."""
    return rest.removeprefix(_SPOILER), rest.startswith(_SPOILER)
