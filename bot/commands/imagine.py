"""``/imagine``: a picture from a prompt, with the options that the active profile has."""

# No `from __future__ import annotations` here: discord.py reads the annotations, and their ranges are local variables.

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.invocation import InteractionInvocation
from bot.commands.parts import BotParts
from bot.commands.submission import Submission
from bot.requests.options import options_in
from bot.requests.spec import ImageOptions
from zimage_engine.profiles import ASPECTS, SEED_LIMIT, ModelProfile, parse_aspect

_DESCRIPTION = "Generate a picture from a text"
_ASPECT_CHOICES = [app_commands.Choice(name=aspect, value=aspect) for aspect in ASPECTS]


def imagine_command(submission: Submission) -> app_commands.Command[Any, ..., None]:
    """Return the ``/imagine`` command; guidance and a negative prompt are offered only if the model has them."""
    profile = submission.profile
    command = _guided(submission) if profile.guidance.high > 0 else _plain(submission)
    command.autocomplete("size")(_size_autocomplete(profile))
    return command


def _plain(submission: Submission) -> app_commands.Command[Any, ..., None]:
    count_range = app_commands.Range[int, 1, submission.max_count]
    seed_range = app_commands.Range[int, 0, SEED_LIMIT - 1]
    steps_range = app_commands.Range[int, int(submission.profile.steps.low), int(submission.profile.steps.high)]

    @app_commands.command(name="imagine", description=_DESCRIPTION)
    @app_commands.describe(**_descriptions(submission))
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
        options = ImageOptions(prompt, aspect=aspect, size=size, count=count, seed=seed, steps=steps, private=private)
        await submission.imagine(InteractionInvocation(interaction), options)

    return imagine


def _guided(submission: Submission) -> app_commands.Command[Any, ..., None]:
    profile = submission.profile
    count_range = app_commands.Range[int, 1, submission.max_count]
    seed_range = app_commands.Range[int, 0, SEED_LIMIT - 1]
    steps_range = app_commands.Range[int, int(profile.steps.low), int(profile.steps.high)]
    guidance_range = app_commands.Range[float, profile.guidance.low, profile.guidance.high]

    @app_commands.command(name="imagine", description=_DESCRIPTION)
    @app_commands.describe(**_descriptions(submission))
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
        options = ImageOptions(prompt, negative, aspect, size, count, seed, steps, guidance, private=private)
        await submission.imagine(InteractionInvocation(interaction), options)

    return imagine


def _descriptions(submission: Submission) -> dict[str, str]:
    return {
        "prompt": "What the picture shows. Flags work too: --ar 16:9 --seed 7 --size large",
        **options_in("imagine", submission.profile, submission.max_count),
    }


def _size_autocomplete(profile: ModelProfile) -> Any:
    """Return a callback that offers size names, with their pixels at the aspect chosen so far."""

    async def offer(interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        aspect = parse_aspect(getattr(interaction.namespace, "aspect", None) or "1:1")
        choices = [
            app_commands.Choice(name=f"{name} ({profile.size_for(aspect, name)})", value=name)
            for name in profile.scales
        ]
        return [choice for choice in choices if typed.lower() in choice.name]

    return offer


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/imagine``."""
    bot.tree.add_command(imagine_command(parts.submission))
