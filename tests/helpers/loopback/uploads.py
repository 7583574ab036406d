"""What a request says about a message: its files as attachments, and what an edit changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.helpers.loopback.calls import Call
from tests.helpers.loopback.errors import ApiError
from tests.helpers.loopback.messages import Attachment, Message
from tests.helpers.loopback.state import REQUEST_LIMIT, State


def check_size(call: Call, file_limit: int) -> None:
    """Raise :class:`ApiError` if a file, or the request as a whole, is too large."""
    if call.size > REQUEST_LIMIT or any(len(data) > file_limit for _, data in call.parts.values()):
        raise ApiError(40005)


def attachments_of(
    state: State, channel_id: str, call: Call, data: dict[str, Any], existing: tuple[Attachment, ...] = ()
) -> tuple[Attachment, ...]:
    """Return the message's attachments after the request.

    Of the ``existing`` ones those are kept that the request lists; all of them if it lists none at all.
    """
    listed = data.get("attachments")
    descriptions = {f"files[{item['id']}]": item.get("description") for item in listed or ()}
    kept = existing
    if listed is not None:
        ids = {str(item["id"]) for item in listed}
        kept = tuple(attachment for attachment in existing if attachment.id in ids)
    new = [
        state.attach(channel_id, filename, content, descriptions.get(part))
        for part, (filename, content) in call.parts.items()
    ]
    return (*kept, *new)


def changes_of(state: State, message: Message, call: Call, data: dict[str, Any]) -> dict[str, Any]:
    """Return what an edit's body changes of a message. What it does not name stays."""
    changes: dict[str, Any] = {}
    if "content" in data:
        changes["content"] = data["content"] or ""
    if "components" in data:
        changes["components"] = tuple(data["components"] or ())
    if "attachments" in data or call.parts:
        changes["attachments"] = attachments_of(state, message.channel_id, call, data, message.attachments)
    edited = replace(message, **changes)
    if not edited.content and not edited.attachments and not edited.components:
        raise ApiError(50006)
    return changes
