"""``/help`` and ``/ping``."""

from __future__ import annotations

import math
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.submission import Submission
from zimage_engine.engine import Engine
from zimage_engine.profiles import ModelProfile

_STATES = {
    "loading": "the model is loading; you can already ask for pictures",
    "ready": "ready",
    "failed": "the model could not be loaded; the operator's log says why",
    "closed": "shutting down",
}


def help_text(profile: ModelProfile, max_count: int) -> str:
    """What a member needs to know, for the active profile."""
    scales = ", ".join(f"`{name}`" for name in profile.scales)
    flags = ["`--ar 16:9`", "`--size large`", "`--seed 7`", f"`--steps {profile.steps.default:g}`"]
    flags += [f"`--count {max_count}`"] if max_count > 1 else []
    flags += [f"`--guidance {profile.guidance.default:g}`"] if profile.guidance.high else []
    flags += ["`--no blur`"] if profile.negative_prompt else []
    options = (
        f"Options: `aspect`, `size` ({scales}, or pixels like `{profile.base_size}`), `count` up to {max_count}, "
        f"`seed`, `steps`, `private` (only you see it). They also work as flags in the prompt: {' '.join(flags)}"
    )
    lines = [
        f"**{profile.title}** draws what you describe, in English or Chinese.",
        "**/imagine** `prompt: a red circle on a blue background`: your picture comes into this channel.",
        options,
        _editing_text(profile),
        "The line under a picture has its seed: the same prompt, seed, size and steps draw the same picture again.",
        "**Cancel** under the progress stops a picture. **/ping** says how busy I am, **/quota** what you have left.",
        "**/settings** keeps your defaults; **/privacy** says what is stored about you, and removes it.",
    ]
    if not profile.negative_prompt:
        lines.append(f"-# {profile.title} takes no negative prompt: say what you want to see instead.")
    return "\n".join(lines)


def _editing_text(profile: ModelProfile) -> str:
    """How pictures are changed, and what a prompt for that says with this model."""
    if profile.editing == "none":
        return f"{profile.title} cannot change pictures."
    says = "say what to change" if profile.editing == "instruction" else "say what the picture shows afterwards"
    return (
        f"**/edit** changes one: {says}. Or use the buttons under a picture, reply to it with `/edit …`, or "
        "right-click any picture → Apps → **Edit image**."
    )


class InfoCog(commands.Cog):
    """What the bot can do and how it is doing."""

    def __init__(self, client: discord.Client, engine: Engine, submission: Submission) -> None:
        self._client = client
        self._engine = engine
        self._submission = submission

    @app_commands.command(name="help", description="What this bot can do, with examples")
    async def help(self, interaction: discord.Interaction[Any]) -> None:
        text = help_text(self._submission.profile, self._submission.max_count)
        await interaction.response.send_message(text, ephemeral=True)

    @app_commands.command(name="ping", description="Latency, queue, model and device")
    async def ping(self, interaction: discord.Interaction[Any]) -> None:
        stats = self._engine.stats()
        latency = self._client.latency
        gateway = f"{latency * 1000:.0f} ms" if math.isfinite(latency) else "unknown"
        doing = _STATES[stats.state] + (f" ({stats.stage})" if stats.stage else "")
        lines = [
            f"Gateway: {gateway}",
            f"Queue: {stats.waiting} waiting, {stats.running} being drawn",
            f"Model: {stats.model} on {stats.device}: {doing}",
        ]
        await interaction.response.send_message("\n".join(lines), ephemeral=True)
