"""``/help``: what the bot can do, with examples."""

from __future__ import annotations

from typing import Any

import discord
from discord.ext import commands

from bot.commands.parts import BotParts
from bot.requests.options import OPTIONS, fill
from zimage_engine.profiles import ModelProfile


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


def add_to(bot: commands.Bot, parts: BotParts) -> None:
    """Add ``/help``."""
    submission = parts.submission

    @bot.tree.command(name="help", description="What this bot can do, with examples")
    async def show_help(interaction: discord.Interaction[Any]) -> None:
        await interaction.response.send_message(help_text(submission.profile, submission.max_count), ephemeral=True)
