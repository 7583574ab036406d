"""The answers to the bot's requests, as far as they are about channels, their messages, users and commands."""

from __future__ import annotations

from typing import Any

from tests.helpers.loopback.calls import Call
from tests.helpers.loopback.errors import ApiError
from tests.helpers.loopback.interactions import Interactions
from tests.helpers.loopback.messages import Message
from tests.helpers.loopback.places import (
    APPLICATION,
    BOT,
    DIRECT,
    FORUM_KIND,
    GUILD,
    MEMBER,
    Channel,
    channel_payload,
    guild_payload,
    member_payload,
    name_of,
    user_payload,
)
from tests.helpers.loopback.state import REQUEST_LIMIT, State, new_message
from tests.helpers.loopback.uploads import attachments_of, changes_of, check_size

_PAGE = 50
Answer = tuple[int, Any]
"""A status and a JSON body; the body is None where Discord sends none."""


class Rest:
    """Does what a request asks, and returns Discord's answer. Raises :class:`ApiError`, or LookupError if unknown."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._interactions = Interactions(state)

    def respond(self, call: Call) -> Answer:
        match call.method, call.path.split("/"):
            case _, ["interactions" | "webhooks", *_]:
                return self._interactions.respond(call)
            case method, ["channels", channel_id, *rest]:
                return self._channel(method, channel_id, rest, call)
            case "GET", ["gateway", "bot"]:
                limit = {"total": 1000, "remaining": self._state.sessions_left, "reset_after": 0, "max_concurrency": 1}
                url = f"ws://{self._state.base}/gateway"
                return 200, {"url": url, "shards": self._state.shards, "session_start_limit": limit}
            case "GET", ["users", "@me"]:
                return 200, BOT
            case "GET", ["users", user_id]:
                return 200, user_payload(_member(user_id))
            case "POST", ["users", "@me", "channels"]:
                return 200, channel_payload(self._state.conversation(_member(str(call.body["recipient_id"]))))
            case "GET", ["oauth2", "applications", "@me"]:
                application = {
                    "id": APPLICATION,
                    "name": "zimage",
                    "description": "",
                    "flags": self._state.flags,
                    "icon": None,
                }
                application |= {
                    "flags": self._state.flags,
                    "bot_public": True,
                    "bot_require_code_grant": False,
                    "verify_key": "",
                }
                return 200, application | {"owner": user_payload(MEMBER)}
            case "PUT", ["applications", _, *_, "commands"]:
                known = {"id": "1", "application_id": APPLICATION, "version": "1"}
                return 200, [{"description": ""} | command | known for command in call.body]
            case "GET", ["guilds", str(guild_id)]:
                return 200, guild_payload(self._guild_channels(guild_id), 0)
            case "GET", ["guilds", str(guild_id), "members", user_id]:
                self._guild_channels(guild_id)
                return 200, member_payload(_member(user_id, code=10007))
        raise LookupError(f"{call.method} {call.path}")

    def _guild_channels(self, guild_id: str) -> dict[str, Channel]:
        if guild_id != GUILD:
            raise ApiError(10004)
        return self._state.channels

    def _channel(self, method: str, channel_id: str, rest: list[str], call: Call) -> Answer:
        channel = self._state.channel(channel_id)
        match method, rest:
            case "GET", []:
                return 200, channel_payload(channel)
            case "PATCH", []:
                return self._change_thread(channel, call.body)
            case "POST", ["typing"]:
                return 204, None
            case "GET", ["messages"]:
                return 200, [self._state.payload(message) for message in self._history(channel, call.query)]
            case "POST", ["messages"]:
                return 200, self._state.payload(self._post(channel, call))
            case "GET", ["messages", message_id]:
                if not self._may_read(channel):
                    raise ApiError(50013)
                return 200, self._state.payload(self._state.message(channel.id, message_id))
            case "PATCH", ["messages", message_id]:
                return 200, self._state.payload(self._edit(channel, message_id, call))
            case "DELETE", ["messages", message_id]:
                self._state.delete(self._own(channel, message_id))
                return 204, None
        raise LookupError(f"{call.method} {call.path}")

    def _history(self, channel: Channel, query: dict[str, str]) -> list[Message]:
        """Return a page of the channel's messages, the newest first; none without Read Message History."""
        if not self._may_read(channel):
            return []
        limit = int(query.get("limit", _PAGE))
        found = [each for each in self._state.messages.values() if each.channel_id == channel.id and not each.seen_by]
        found.sort(key=lambda message: int(message.id))
        if "after" in query:
            newer = [message for message in found if int(message.id) > int(query["after"])]
            return newer[:limit][::-1]
        if "before" in query:
            found = [message for message in found if int(message.id) < int(query["before"])]
        return found[-limit:][::-1]

    def _post(self, channel: Channel, call: Call) -> Message:
        data = call.body
        self._check_may_post(channel, with_files=bool(call.parts))
        nonce = data.get("nonce")
        if data.get("enforce_nonce") and (first := self._state.posted_with(nonce)) is not None:
            return first
        check_size(call, min(self._state.upload_limit, REQUEST_LIMIT))
        reference = self._reference(channel, data)
        if channel.archived:
            channel.archived = False
            self._state.update_channel(channel)
        files = attachments_of(self._state, channel.id, call, data)
        message = new_message(self._state, channel.id, data, attachments=files, nonce=nonce, reference=reference)
        self._state.remember_nonce(message)
        return self._state.post(message)

    def _check_may_post(self, channel: Channel, *, with_files: bool) -> None:
        if channel.kind == DIRECT:
            if channel.recipient_id in self._state.closed_to_bot:
                raise ApiError(50007)
            return
        if channel.kind == FORUM_KIND:
            raise ApiError(50008)
        granted = self._state.permissions(channel)
        may_send = granted.send_messages_in_threads if channel.is_thread else granted.send_messages
        if not may_send or (with_files and not granted.attach_files):
            raise ApiError(50013)
        if channel.locked:
            raise ApiError(160005)

    def _reference(self, channel: Channel, data: dict[str, Any]) -> str | None:
        """Return the id of the message that is replied to; None if there is none, or it is gone and that is allowed."""
        reference = data.get("message_reference")
        if reference is None:
            return None
        if not self._may_read(channel):
            raise ApiError(160002)
        message_id = str(reference["message_id"])
        if message_id in self._state.messages:
            return message_id
        if reference.get("fail_if_not_exists", True):
            raise ApiError(50035, "Invalid Form Body\nIn message_reference: Unknown message")
        return None

    def _edit(self, channel: Channel, message_id: str, call: Call) -> Message:
        message = self._own(channel, message_id)
        check_size(call, min(self._state.upload_limit, REQUEST_LIMIT))
        return self._state.edit(message, **changes_of(self._state, message, call, call.body))

    def _own(self, channel: Channel, message_id: str) -> Message:
        """Return a message of the bot that may be changed now."""
        message = self._state.message(channel.id, message_id)
        if message.author_id != APPLICATION:
            raise ApiError(50005)
        if channel.archived:
            raise ApiError(50083)
        return message

    def _change_thread(self, channel: Channel, data: dict[str, Any]) -> Answer:
        if not channel.is_thread:
            raise ApiError(50013)
        if channel.locked:
            raise ApiError(160005)
        channel.archived = bool(data.get("archived", channel.archived))
        self._state.update_channel(channel)
        return 200, channel_payload(channel)

    def _may_read(self, channel: Channel) -> bool:
        return channel.kind == DIRECT or self._state.permissions(channel).read_message_history


def _member(user_id: str, code: int = 10013) -> str:
    if name_of(user_id) is None:
        raise ApiError(code)
    return user_id
