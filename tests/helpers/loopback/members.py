"""What members and moderators do: commands, clicks, forms and messages; and what they change in the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import discord

from tests.helpers.loopback.gateway import Gateway
from tests.helpers.loopback.messages import Attachment, Message, shown
from tests.helpers.loopback.places import (
    APPLICATION,
    CHANNEL,
    DIRECT,
    GUILD,
    MEMBER,
    Channel,
    channel_payload,
    member_payload,
    permissions_of,
    user_payload,
)
from tests.helpers.loopback.state import MIB, Interaction, State

COMMAND, COMPONENT, AUTOCOMPLETE, FORM = 2, 3, 4, 5
_OPTION_TYPES: dict[type, int] = {str: 3, int: 4, bool: 5, float: 10, bytes: 11}
_LATE_SECONDS = 4.0


TOKENS: list[str] = []
"""The tokens of all interactions that any loopback in this process has sent to a bot."""
WORDS: list[str] = []
"""The prompts and messages that members have written to any loopback in this process."""


class Members:
    """The actions of people. ``attachment_size_limit`` is what interactions say that a file may have, in bytes."""

    state: State
    gateway: Gateway

    def __init__(self) -> None:
        self.attachment_size_limit = 10 * MIB

    async def command(
        self,
        name: str,
        *,
        channel: str = CHANNEL,
        member: str = MEMBER,
        installed_in: str | None = None,
        late: bool = False,
        **options: str | float | bytes,
    ) -> str:
        """Have a member type a slash command, such as ``imagine`` or ``limits set``. Returns the interaction's token.

        An option of bytes is an attachment with these bytes. ``installed_in`` is a server that the bot is not in; the
        member has installed it for themselves. A ``late`` command reaches the bot after its three seconds.
        """
        resolved: dict[str, Any] = {}
        given = [self._option(key, value, channel, resolved) for key, value in options.items()]
        WORDS.extend(value for key, value in options.items() if key == "prompt" and isinstance(value, str))
        root, *nested = name.split()
        for level, part in enumerate(reversed(nested)):
            given = [{"name": part, "type": 2 if level else 1, "options": given}]
        data: dict[str, Any] = {"id": "1", "name": root, "type": 1, "options": given}
        if resolved:
            data["resolved"] = resolved
        return self._interact(COMMAND, data, channel, member, installed_in=installed_in, late=late)

    async def complete(self, name: str, option: str, typed: str, *, member: str = MEMBER) -> str:
        """Have a member type into an option that offers choices. Returns the interaction's token."""
        focused = {"name": option, "type": 3, "value": typed, "focused": True}
        return self._interact(AUTOCOMPLETE, {"id": "1", "name": name, "type": 1, "options": [focused]}, CHANNEL, member)

    async def context_menu(self, name: str, message: Message, *, member: str = MEMBER) -> str:
        """Have a member right-click a message and choose one of the bot's menus. Returns the interaction's token."""
        resolved = {"messages": {message.id: self.state.payload(message)}}
        data = {"id": "1", "name": name, "type": 3, "target_id": message.id, "resolved": resolved}
        return self._interact(COMMAND, data, message.channel_id, member)

    async def click(
        self, message: Message, custom_id: str, *, member: str = MEMBER, values: Sequence[str] | None = None
    ) -> str:
        """Have a member press a button, or choose ``values`` of a select. Returns the interaction's token."""
        assert custom_id in message.custom_ids, f"{custom_id} is not in {message.custom_ids}"
        assert message.seen_by in (None, member), "the member does not see this message"
        data: dict[str, Any] = {"component_type": 2 if values is None else 3, "custom_id": custom_id}
        if values is not None:
            data["values"] = list(values)
        return self._interact(COMPONENT, data, message.channel_id, member, message=message)

    async def fill_in(self, token: str, **texts: str) -> str:
        """Have a member submit the modal that answered an interaction; texts by ``custom_id``, the others as they were.

        Returns the new interaction's token.
        """
        WORDS.extend(text for name, text in texts.items() if name == "prompt")
        asked = self.state.interactions[token]
        assert asked.answer == 9, "it was not answered with a modal"
        fields = [(label.get("id", 0), label["component"]) for label in asked.data["components"]]
        filled = [
            {"type": 18, "id": number, "component": _filled(item, texts.get(item["custom_id"]))}
            for number, item in fields
        ]
        data = {"custom_id": asked.data["custom_id"], "components": filled}
        message = self.state.messages.get(asked.message_id or "")
        return self._interact(FORM, data, asked.channel_id, asked.member_id, message=message)

    async def say(
        self,
        content: str,
        *,
        channel: str = CHANNEL,
        member: str = MEMBER,
        reply_to: Message | None = None,
        files: dict[str, bytes] | None = None,
    ) -> Message:
        """Have a member send a message. A reply pings its author; a mention is written as ``<@id>``."""
        WORDS.append(content)
        attachments = tuple(self.state.attach(channel, name, data) for name, data in (files or {}).items())
        mentioned = [APPLICATION] if f"<@{APPLICATION}>" in content else []
        # Replies to interaction responses do not reach the bot with their text, although they ping it.
        if reply_to is not None and reply_to.author_id == APPLICATION and reply_to.interaction is None:
            mentioned = [APPLICATION]
        return self.state.post(
            Message(
                id=self.state.ids.new(),
                channel_id=channel,
                author_id=member,
                content=content,
                attachments=attachments,
                mentions=tuple(mentioned),
                reference=reply_to.id if reply_to is not None else None,
            )
        )

    def seen(self, channel: str = CHANNEL, member: str = MEMBER) -> list[Message]:
        """Return what a member sees now in a channel, oldest first."""
        return shown(self.state.record, channel, member)

    def deny(self, channel: str, *permissions: str) -> None:
        """Take permissions from the bot in a channel, and give it all others."""
        self.state.channels[channel].denied = discord.Permissions(**dict.fromkeys(permissions, True)).value
        self.state.update_channel(self.state.channels[channel])

    def archive(self, thread: str, *, archived: bool = True, locked: bool = False) -> None:
        """Archive or lock a thread, or undo it."""
        channel = self.state.channels[thread]
        channel.archived, channel.locked = archived, locked
        self.state.update_channel(channel)

    def delete_channel(self, channel: str) -> None:
        """Delete a channel with everything in it."""
        self.state.remove_channel(self.state.channels[channel])

    def delete_message(self, message: Message) -> None:
        """Have a moderator delete a message, or a member dismiss an ephemeral one."""
        self.state.delete(message)

    def close_direct_messages(self, member: str) -> None:
        """Have a member accept no more direct messages from the bot."""
        self.state.closed_to_bot.add(member)

    def leave(self, member: str) -> None:
        """Have a member leave the server."""
        self.gateway.emit("GUILD_MEMBER_REMOVE", {"guild_id": GUILD, "user": user_payload(member)})

    def expire(self, token: str, *, unknown: bool = False) -> None:
        """Let an interaction's token be over: expired, or no longer known at all."""
        self.state.interactions[token].gone = "unknown" if unknown else "expired"

    def _option(self, name: str, value: Any, channel: str, resolved: dict[str, Any]) -> dict[str, Any]:
        kind = _OPTION_TYPES[type(value)]
        if isinstance(value, bytes):
            attachment: Attachment = self.state.attach(channel, f"{name}.png", value)
            resolved.setdefault("attachments", {})[attachment.id] = attachment.payload()
            value = attachment.id
        return {"name": name, "type": kind, "value": value}

    def _interact(
        self,
        kind: int,
        data: dict[str, Any],
        channel_id: str,
        member: str,
        *,
        message: Message | None = None,
        installed_in: str | None = None,
        late: bool = False,
    ) -> str:
        number = self.state.ids.new(seconds_ago=_LATE_SECONDS if late else 0.0)
        token = f"token-{number}"
        TOKENS.append(token)
        channel = self.state.channels[channel_id]
        self.state.interactions[token] = Interaction(
            number, token, kind, channel_id, member, message.id if message is not None else None
        )
        event: dict[str, Any] = {
            "id": number,
            "application_id": APPLICATION,
            "type": kind,
            "token": token,
            "version": 1,
            "data": data,
            "channel_id": channel_id,
            "channel": channel_payload(channel),
            "locale": "en-US",
            "app_permissions": str(self.state.permissions(channel).value),
            "attachment_size_limit": self.attachment_size_limit,
            "entitlements": [],
        }
        if message is not None:
            event["message"] = self.state.payload(message)
        self.gateway.emit("INTERACTION_CREATE", event | _context(channel, member, installed_in))
        return token


def _context(channel: Channel, member: str, installed_in: str | None) -> dict[str, Any]:
    """Return who asks where: a member of a server, or a user in a direct message."""
    if channel.kind == DIRECT:
        return {"user": user_payload(member), "context": 1, "authorizing_integration_owners": {"0": "0"}}
    asker = {"member": member_payload(member, permissions_of(member)), "context": 0}
    if installed_in is None:
        return asker | {"guild_id": GUILD, "authorizing_integration_owners": {"0": GUILD}}
    guild = {"id": installed_in, "locale": "en-US", "features": []}
    return asker | {"guild_id": installed_in, "guild": guild, "authorizing_integration_owners": {"1": member}}


def _filled(item: dict[str, Any], text: str | None) -> dict[str, Any]:
    """Return a field of a modal as it is submitted."""
    shown: dict[str, Any] = {"type": item["type"], "custom_id": item["custom_id"], "id": item.get("id", 0)}
    if item["type"] == 4:
        return shown | {"value": text if text is not None else item.get("value", "")}
    chosen = [option["value"] for option in item.get("options", ()) if option.get("default")]
    return shown | {"values": [text] if text is not None else chosen}
