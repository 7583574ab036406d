"""Messages, and the record of everything that was posted, edited and deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

EPHEMERAL = 1 << 6
LOADING = 1 << 7


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a message or of a command's option. ``url`` is where its bytes can be downloaded."""

    id: str
    filename: str
    data: bytes
    url: str
    content_type: str | None
    description: str | None = None
    width: int | None = None
    height: int | None = None

    def payload(self) -> dict[str, Any]:
        """Return the attachment as Discord's API shows it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "filename": self.filename,
            "size": len(self.data),
            "url": self.url,
            "proxy_url": self.url,
            "content_type": self.content_type,
            "description": self.description,
            "width": self.width,
            "height": self.height,
        }
        return {name: value for name, value in shown.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Message:
    """One version of a message. ``seen_by`` is the only member who sees it if it is ephemeral, else None.

    ``reference`` is the id of the message that it replies to, ``interaction`` the token that it answers.
    """

    id: str
    channel_id: str
    author_id: str
    content: str = ""
    flags: int = 0
    components: tuple[dict[str, Any], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    mentions: tuple[str, ...] = ()
    nonce: str | None = None
    reference: str | None = None
    interaction: str | None = None
    seen_by: str | None = None

    @property
    def custom_ids(self) -> tuple[str, ...]:
        """The ids of its buttons and selects, in order."""
        return tuple(_custom_ids(self.components))


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened to a message; ``message`` is the version after it, or the last one if it was deleted."""

    at: float
    what: Literal["posted", "edited", "deleted"]
    message: Message


def shown(record: Iterable[Entry], channel_id: str | None = None, member_id: str | None = None) -> list[Message]:
    """Return the messages that exist at the record's end, oldest first.

    Without a channel those of all channels; with a member without what only others see.
    """
    left: dict[str, Message] = {}
    for entry in record:
        if entry.what == "deleted":
            left.pop(entry.message.id, None)
        else:
            left[entry.message.id] = entry.message
    return [
        message
        for message in left.values()
        if channel_id in (None, message.channel_id) and (member_id is None or message.seen_by in (None, member_id))
    ]


def versions(record: Iterable[Entry]) -> dict[str, list[Message]]:
    """Return all versions of each message by its id, in order."""
    found: dict[str, list[Message]] = {}
    for entry in record:
        if entry.what != "deleted":
            found.setdefault(entry.message.id, []).append(entry.message)
    return found


def _custom_ids(components: Iterable[dict[str, Any]]) -> Iterator[str]:
    for component in components:
        if "custom_id" in component:
            yield component["custom_id"]
        yield from _custom_ids(component.get("components", ()))
