"""Callbacks of interactions, and their webhooks: the response, follow-ups, and edits of both."""

from __future__ import annotations

import time
from typing import Any

from tests.helpers.loopback.calls import Call
from tests.helpers.loopback.errors import ApiError
from tests.helpers.loopback.messages import LOADING, Message
from tests.helpers.loopback.places import APPLICATION
from tests.helpers.loopback.snowflakes import seconds_since
from tests.helpers.loopback.state import Interaction, State, ephemeral, new_message
from tests.helpers.loopback.uploads import attachments_of, changes_of, check_size

MESSAGE, DEFERRED_MESSAGE, DEFERRED_UPDATE, UPDATE, CHOICES, MODAL = 4, 5, 6, 7, 8, 9
_ANSWER_SECONDS = 3.0


class Interactions:
    """Answers ``interactions/…/callback`` and ``webhooks/…``. Raises :class:`ApiError`."""

    def __init__(self, state: State) -> None:
        self._state = state

    def respond(self, call: Call) -> tuple[int, Any]:
        match call.method, call.path.split("/"):
            case "POST", ["interactions", number, token, "callback"]:
                return self._callback(number, token, call)
            case method, ["webhooks", application, token, *rest] if application == APPLICATION:
                interaction = self._state.interactions.get(token)
                if interaction is None:
                    raise ApiError(10015)
                interaction.check_token()
                return self._webhook(method, interaction, rest, call)
            case _, ["webhooks", *_]:  # of a channel, and there are none
                raise ApiError(10015)
        raise LookupError(f"{call.method} {call.path}")

    def _callback(self, number: str, token: str, call: Call) -> tuple[int, Any]:
        interaction = self._state.interactions.get(token)
        if interaction is None or interaction.id != number or interaction.gone != "no":
            raise ApiError(10062)
        if interaction.answer is not None:
            raise ApiError(40060)
        if seconds_since(number) > _ANSWER_SECONDS:
            raise ApiError(10062)
        kind, data = call.body["type"], call.body.get("data") or {}
        message = self._answer(interaction, kind, data, call)
        interaction.answer, interaction.answered_at = kind, time.monotonic()
        answered: dict[str, Any] = {"id": number, "type": interaction.kind}
        resource: dict[str, Any] = {"type": kind}
        if message is not None:
            interaction.original_id = message.id
            interaction.own.add(message.id)
            answered |= {"response_message_id": message.id}
            answered["response_message_ephemeral"] = message.seen_by is not None
            answered["response_message_loading"] = bool(message.flags & LOADING)
            resource["message"] = self._state.payload(message)
        return 200, {"interaction": answered, "resource": resource}

    def _answer(self, interaction: Interaction, kind: int, data: dict[str, Any], call: Call) -> Message | None:
        """Do what a callback says. Returns the message that is the interaction's response from now on, if any."""
        if kind == MESSAGE:
            return self._post(interaction, call, data)
        if kind == DEFERRED_MESSAGE:
            flags = LOADING | (data.get("flags") or 0)
            waiting = {"content": "…", "flags": flags}
            return self._state.post(self._new(interaction, waiting))
        if kind in (UPDATE, DEFERRED_UPDATE):
            message = self._state.messages.get(interaction.message_id or "")
            if message is not None and kind == UPDATE:
                message = self._change(message, call, data)
            return message
        interaction.data = data  # a modal, or the choices of an autocomplete
        return None

    def _webhook(self, method: str, interaction: Interaction, rest: list[str], call: Call) -> tuple[int, Any]:
        match method, rest:
            case "POST", []:
                return 200, self._state.payload(self._follow_up(interaction, call))
            case "GET", ["messages", which]:
                return 200, self._state.payload(self._own(interaction, which))
            case "PATCH", ["messages", which]:
                return 200, self._state.payload(self._change(self._own(interaction, which), call, call.body))
            case "DELETE", ["messages", which]:
                self._state.delete(self._own(interaction, which))
                return 204, None
        raise LookupError(f"{call.method} {call.path}")

    def _follow_up(self, interaction: Interaction, call: Call) -> Message:
        if interaction.answer is None:
            raise ApiError(10015)
        original = self._state.messages.get(interaction.original_id or "")
        if original is not None and original.flags & LOADING:
            # The first follow-up after a defer becomes the response, as public or private as the defer was.
            return self._change(original, call, call.body)
        message = self._post(interaction, call, call.body)
        interaction.own.add(message.id)
        return message

    def _post(self, interaction: Interaction, call: Call, data: dict[str, Any]) -> Message:
        check_size(call, self._state.upload_limit)
        files = attachments_of(self._state, interaction.channel_id, call, data)
        return self._state.post(self._new(interaction, data, attachments=files))

    def _new(self, interaction: Interaction, data: dict[str, Any], **more: Any) -> Message:
        made = new_message(self._state, interaction.channel_id, data, interaction=interaction.token, **more)
        return ephemeral(made, interaction.member_id)

    def _change(self, message: Message, call: Call, data: dict[str, Any]) -> Message:
        check_size(call, self._state.upload_limit)
        changes = changes_of(self._state, message, call, data)
        return self._state.edit(message, flags=message.flags & ~LOADING, **changes)

    def _own(self, interaction: Interaction, which: str) -> Message:
        """Return one of the interaction's messages, or the message of its button."""
        message_id = interaction.original_id if which == "@original" else which
        message = self._state.messages.get(message_id or "")
        if message is None or message.id not in interaction.own:
            raise ApiError(10008)
        return message
