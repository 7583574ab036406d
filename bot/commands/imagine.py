"""``/imagine``: a prompt becomes a picture. Its options are what the active profile can do."""

# No `from __future__ import annotations` here: the options' ranges are made when the program runs, and discord.py
# reads them from the annotations.

from typing import Any

import discord
from discord import app_commands

from bot.commands.invocation import InteractionInvocation
from bot.commands.submission import Submission
from bot.requests.spec import ImageOptions
from zimage_engine.profiles import ASPECTS, SEED_LIMIT, ModelProfile, parse_aspect

_DESCRIPTION = "Draw a picture from a text"
_ASPECT_CHOICES = [app_commands.Choice(name=aspect, value=aspect) for aspect in ASPECTS]


def imagine_command(submission: Submission) -> app_commands.Command[Any, ..., None]:
    """The command for the desk's profile: guidance and a negative prompt are offered only where the model has them."""
    profile = submission.profile
    command = _guided(submission) if profile.guidance.high > 0 else _plain(submission)
    command.autocomplete("size")(_size_autocomplete(profile))
    return command


def _plain(submission: Submission) -> app_commands.Command[Any, ..., None]:
    count_range = app_commands.Range[int, 1, submission.max_count]
    seed_range = app_commands.Range[int, 0, SEED_LIMIT - 1]
    steps_range = app_commands.Range[int, int(submission.profile.steps.low), int(submission.profile.steps.high)]

    @app_commands.command(name="imagine", description=_DESCRIPTION)
    @app_commands.describe(**_option_texts(submission))
    @app_commands.choices(aspect=_ASPECT_CHOICES)
    async def imagine(
        interaction: discord.Interaction[Any],
        prompt: str,
        aspect: str | None = None,
        size: str | None = None,
        count: count_range | None = None,
        seed: seed_range | None = None,
        steps: steps_range | None = None,
        private: bool | None = None,  # noqa: FBT001 - an option of the command
    ) -> None:
        options = ImageOptions(prompt, aspect=aspect, size=size, count=count, seed=seed, steps=steps)
        await submission.imagine(InteractionInvocation(interaction), options, private=private)

    return imagine


def _guided(submission: Submission) -> app_commands.Command[Any, ..., None]:
    profile = submission.profile
    count_range = app_commands.Range[int, 1, submission.max_count]
    seed_range = app_commands.Range[int, 0, SEED_LIMIT - 1]
    steps_range = app_commands.Range[int, int(profile.steps.low), int(profile.steps.high)]
    guidance_range = app_commands.Range[float, profile.guidance.low, profile.guidance.high]
    extra = {
        "negative": "What the picture should not show",
        "guidance": f"How closely to follow the prompt, {profile.guidance.low:g} to {profile.guidance.high:g}",
    }

    @app_commands.command(name="imagine", description=_DESCRIPTION)
    @app_commands.describe(**_option_texts(submission), **extra)
    @app_commands.choices(aspect=_ASPECT_CHOICES)
    async def imagine(
        interaction: discord.Interaction[Any],
        prompt: str,
        negative: str | None = None,
        aspect: str | None = None,
        size: str | None = None,
        count: count_range | None = None,
        seed: seed_range | None = None,
        steps: steps_range | None = None,
        guidance: guidance_range | None = None,
        private: bool | None = None,  # noqa: FBT001 - an option of the command
    ) -> None:
        options = ImageOptions(prompt, negative, aspect, size, count, seed, steps, guidance)
        await submission.imagine(InteractionInvocation(interaction), options, private=private)

    return imagine


def _option_texts(submission: Submission) -> dict[str, str]:
    steps = submission.profile.steps
    return {
        "prompt": "What the picture shows. Flags work too: --ar 16:9 --seed 7 --size large",
        "aspect": "Width : height",
        "size": "small, medium or large, or pixels like " + str(submission.profile.base_size),
        "count": f"How many pictures, 1 to {submission.max_count}",
        "seed": "The same seed draws the same picture again",
        "steps": f"Denoising steps, {steps.low:g} to {steps.high:g}; usually {steps.default:g}",
        "private": "Only you see the picture",
    }


def _size_autocomplete(profile: ModelProfile) -> Any:
    """Names with the pixels that they come to at the aspect chosen so far."""

    async def offer(interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        aspect = parse_aspect(getattr(interaction.namespace, "aspect", None) or "1:1")
        choices = [
            app_commands.Choice(name=f"{name} ({profile.size_for(aspect, name)})", value=name)
            for name in profile.scales
        ]
        return [choice for choice in choices if typed.lower() in choice.name]

    return offer
