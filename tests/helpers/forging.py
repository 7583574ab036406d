"""Interactions that Discord's own client would not send: forged ids of buttons and forms."""

from __future__ import annotations

from typing import Any

from simcord.backend import serializers
from simcord.builders import ChannelHandle
from simcord.enums import ComponentType, InteractionType

from bot.playground.world import World

_TEXT = 4


async def forged_click(world: World, who: Any, message: Any, custom_id: str, values: list[str] | None = None) -> Any:
    """Press a button with this id on a message, or choose ``values``, as if the message had such a component too.

    discord.py drops what is pressed on a message without it, so the message that the bot receives has it.
    """
    backend = world.env.backend
    stored = backend.get_message(message.channel.id, message.id)
    kind = ComponentType.BUTTON if values is None else ComponentType.STRING_SELECT
    data: dict[str, Any] = {"custom_id": custom_id, "component_type": kind}
    if values is not None:
        data["values"] = values
    component: dict[str, Any] = {"type": kind, "custom_id": custom_id}
    component |= {"style": 2, "label": "x"} if values is None else {"options": [{"label": "x", "value": "x"}]}
    payload = dict(serializers.message_payload(backend, stored))
    payload["components"] = [*payload["components"], {"type": 1, "components": [component]}]
    extra = {"message": payload}
    return await who._dispatch_interaction(
        InteractionType.MESSAGE_COMPONENT,
        _handle(world, who, message.channel.id),
        data,
        extra=extra,
        source_message_id=stored.id,
    )


async def forged_form(world: World, who: Any, channel: Any, custom_id: str, **texts: str) -> Any:
    """Send a filled-in form with this id in a channel, whether it was opened or not."""
    fields = [
        {"type": 18, "id": number, "component": {"type": _TEXT, "id": 50 + number, "custom_id": name, "value": text}}
        for number, (name, text) in enumerate(texts.items(), 1)
    ]
    data = {"custom_id": custom_id, "components": fields}
    return await who._dispatch_interaction(InteractionType.MODAL_SUBMIT, channel, data)


def _handle(world: World, who: Any, channel_id: int) -> Any:
    return ChannelHandle(world.env, who.guild, world.env.backend.get_channel(channel_id))
