"""Base classes that answer the errors of views, modals and dynamic items.

discord.py gives errors of a ``View`` and a ``Modal`` to their ``on_error``, but those of a ``DynamicItem`` to no one.
Here all of them go to the bot's one error handler, as those of commands do.
"""

from __future__ import annotations

import re
from typing import Any, Generic, Self, TypeVar

import discord

from bot.views.parts import report_error

ItemT = TypeVar("ItemT", bound="discord.ui.Item[Any]")


class SafeView(discord.ui.View):
    """A view whose errors are answered."""

    async def on_error(
        self, interaction: discord.Interaction[Any], error: Exception, item: discord.ui.Item[Any], /
    ) -> None:
        del item
        await report_error(interaction, error)


class SafeModal(discord.ui.Modal):
    """A modal whose errors are answered."""

    async def on_error(  # type: ignore[override]  # as discord.py's own Modal
        self, interaction: discord.Interaction[Any], error: Exception, /
    ) -> None:
        await report_error(interaction, error)


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
            await report_error(interaction, error)
