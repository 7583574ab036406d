"""Listens to filled-in forms: discord.py forgets those that were open before a restart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import discord
from discord.ext import commands

from bot.views.errors import answer_error

FormT = TypeVar("FormT")


def listen_to_forms(
    bot: commands.AutoShardedBot,
    read: Callable[[discord.Interaction[Any]], FormT | None],
    on_form: Callable[[discord.Interaction[Any], FormT], Awaitable[None]],
) -> None:
    """Handle every filled-in form that ``read`` recognises; it returns None for others. Errors are answered."""

    async def on_interaction(interaction: discord.Interaction[Any]) -> None:
        if interaction.type is not discord.InteractionType.modal_submit:
            return
        try:
            form = read(interaction)
            if form is not None and await bot.tree.interaction_check(interaction):
                await on_form(interaction, form)
        except Exception as error:  # noqa: BLE001 - answered, and logged if it is unexpected
            await answer_error(interaction, error)

    bot.add_listener(on_interaction)
