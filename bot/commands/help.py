"""``/help`` and ``/ping``."""

from __future__ import annotations

import math
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.submission import Submission
from bot.requests.options import OPTIONS, fill
from zimage_engine.engine import Engine
from zimage_engine.profiles import ModelProfile

_STATES = {
    "loading": "the model is loading; you can already ask for pictures",
    "ready": "ready",
    "failed": "the model could not be loaded; the operator's log says why",
    "closed": "shutting down",
}


def help_text(profile: ModelProfile, max_count: int) -> str:
    """Return the text of ``/help`` for the active profile."""
    lines = [
        f"**{profile.title}** draws what you describe, in English or Chinese.",
        "**/imagine** `prompt: a red circle on a blue background`: your picture comes into this channel.",
        _options_text(profile, max_count),
        _editing_text(profile),
        "The line under a picture has its seed: the same prompt, seed, size and steps draw the same picture again.",
        "**Cancel** under the progress stops a picture. **/ping** says how busy I am, **/quota** what you have left.",
        "**/settings** keeps your defaults; **/privacy** says what is stored about you, and removes it.",
    ]
    if not profile.negative_prompt:
        lines.append(f"-# {profile.title} takes no negative prompt: say what you want to see instead.")
    return "\n".join(lines)


def _options_text(profile: ModelProfile, max_count: int) -> str:
    """Return the line about options: their names, then examples of flags.

    Examples of options that not every profile or bot has come last.
    """
    names = [fill(option.help, profile, max_count) for option in OPTIONS if option.help]
    examples = sorted(
        (option for option in OPTIONS if option.help_flag and option.example_fits(profile, max_count)),
        key=lambda option: option.offered is not None or option.help_flag_if is not None,
    )
    flags = [f"`{fill(option.help_flag, profile, max_count)}`" for option in examples]
    return f"Options: {', '.join(names)}. They also work as flags in the prompt: {' '.join(flags)}"


def _editing_text(profile: ModelProfile) -> str:
    """Return the line about editing; what a prompt says differs between models that edit by instruction and others."""
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
