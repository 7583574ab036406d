"""``/quota``: a member's limits, what they have used, when it renews, and where each limit comes from."""

from __future__ import annotations

from typing import Any

import discord
from discord.ext import commands

from bot.commands.invocation import InteractionInvocation
from bot.commands.parts import BotParts
from bot.views.quota import quota_text


def add_to(bot: commands.Bot, parts: BotParts) -> None:
    """Add ``/quota``."""
    admission = parts.jobs.admission

    @bot.tree.command(name="quota", description="What you may use here, what is left, and when it renews")
    async def quota(interaction: discord.Interaction[Any]) -> None:
        requester = InteractionInvocation(interaction).requester
        text = quota_text(await admission.quota_state(requester), admission.terms, direct=not requester.scope_id)
        await interaction.response.send_message(text, ephemeral=True, suppress_embeds=True)
