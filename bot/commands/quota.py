"""``/quota``: what a member may use here, what they have used, when it comes back, and why it is that much."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.invocation import InteractionInvocation
from bot.jobs.service import JobService
from bot.views.quota import quota_text


class QuotaCog(commands.Cog):
    """The command; only the member sees the answer."""

    def __init__(self, jobs: JobService) -> None:
        self._jobs = jobs

    @app_commands.command(name="quota", description="What you may use here, what is left, and when it renews")
    async def quota(self, interaction: discord.Interaction[Any]) -> None:
        admission = self._jobs.admission
        requester = InteractionInvocation(interaction).requester
        text = quota_text(await admission.quota_state(requester), admission.terms, direct=not requester.scope_id)
        await interaction.response.send_message(text, ephemeral=True, suppress_embeds=True)
