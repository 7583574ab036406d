"""``/quota``: a member's limits, what they have used, and which results could not be posted yet."""

from __future__ import annotations

from typing import Any

import discord
from discord.ext import commands

from bot.commands.invocation import InteractionInvocation
from bot.commands.parts import BotParts
from bot.inert import cut
from bot.moderation.limit_texts import NO_MODEL
from bot.requests.pricing import prices_text
from bot.views.quota import quota_text
from bot.views.text import MESSAGE_LIMIT
from bot.views.undelivered import undelivered_text, undelivered_view


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/quota``."""
    admission = parts.jobs.admission

    @bot.tree.command(name="quota", description="What you may use here, what is left, and when it renews")
    async def quota(interaction: discord.Interaction[Any]) -> None:
        requester = InteractionInvocation(interaction).requester
        text = quota_text(await admission.quota_state(requester), admission.terms, direct=not requester.scope_id)
        allowed = await admission.allowed_models(requester)
        if not allowed:
            text = f"**{NO_MODEL}**\n{text}"
        if price_line := prices_text(parts.jobs.models, allowed):
            text = f"{text}\n-# {price_line}"
        results = await parts.jobs.undelivered.of(interaction.user.id)
        if not results:
            await interaction.response.send_message(text, ephemeral=True, suppress_embeds=True)
            return
        text = cut(f"{text}\n{undelivered_text(results)}", MESSAGE_LIMIT)
        view = undelivered_view(results)
        await interaction.response.send_message(text, view=view, ephemeral=True, suppress_embeds=True)
