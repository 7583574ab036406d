"""Base classes that answer the errors of views, modals, dynamic items and message handlers.

discord.py gives errors of a ``View`` and a ``Modal`` to their ``on_error``, but those of a ``DynamicItem`` to no one.
Here all of them go to :func:`bot.views.errors.answer_error`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, Self, TypeVar

import discord
import structlog

from bot.errors import NotHere
from bot.throttle import Throttle
from bot.views.card_messages import reply_shortly
from bot.views.errors import answer_error, explain

log = structlog.get_logger(__name__)
ItemT = TypeVar("ItemT", bound="discord.ui.Item[Any]")


class SafeView(discord.ui.View):
    """A view whose errors are answered."""

    async def on_error(
        self, interaction: discord.Interaction[Any], error: Exception, item: discord.ui.Item[Any], /
    ) -> None:
        del item
        await answer_error(interaction, error)


class SafeModal(discord.ui.Modal):
    """A modal whose errors are answered."""

    async def on_error(  # type: ignore[override]  # as discord.py's own Modal
        self, interaction: discord.Interaction[Any], error: Exception, /
    ) -> None:
        await answer_error(interaction, error)


class SafeDynamicItem(discord.ui.DynamicItem[ItemT], Generic[ItemT], template=r"never-used"):
    """An item whose only state is its ``custom_id``, so that it works after a restart; subclasses define :meth:`press`.

    The groups of the template are the arguments of the constructor, as text.
    """

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        del interaction, item
        return cls(*match.groups())  # type: ignore[arg-type]  # each kind takes its own

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        """Handle a click or a choice."""
        raise NotImplementedError

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        try:
            if await interaction.client.tree.interaction_check(interaction):
                await self.press(interaction)
        except Exception as error:  # noqa: BLE001 - answered, and logged if it is unexpected
            await answer_error(interaction, error)


def safe_message_handler(
    handler: Callable[[discord.Message], Awaitable[None]], not_here: Throttle[int]
) -> Callable[[discord.Message], Coroutine[Any, Any, None]]:
    """Return a listener that answers the handler's errors with a short reply, which is deleted after some seconds.

    Where the bot may not write, the answer is a direct message. Other answers are public. So that nobody fills a
    channel, a member who may not use the bot there (:class:`NotHere`) is told once per pause of ``not_here``, which
    goes by member id.
    """

    async def safe(message: discord.Message) -> None:
        try:
            await handler(message)
        except Exception as error:  # noqa: BLE001 - answered, and logged if it is unexpected
            if isinstance(error, NotHere) and not not_here.take(message.author.id):
                return
            sentence = error.in_public if isinstance(error, NotHere) else explain(error)
            try:
                await _tell(message, sentence)
            except discord.HTTPException as failure:
                log.warning("answer_not_sent", code=failure.code, status=failure.status)

    return safe


async def _tell(message: discord.Message, sentence: str) -> None:
    """Reply to a message; where the bot may not write, send a direct message to its author."""
    try:
        await reply_shortly(message, sentence)
    except discord.Forbidden:
        await message.author.send(sentence)
