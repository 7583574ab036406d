"""``/imagine``: a picture from a prompt, with the options that the bot's models have."""

# No `from __future__ import annotations` here: discord.py reads the annotations.

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.invocation import InteractionInvocation
from bot.commands.option_parameters import model_choices, with_options
from bot.commands.parts import BotParts
from bot.commands.submission import Submission
from bot.requests.spec import ImageOptions
from zimage_engine.profiles import ASPECTS, parse_aspect

_ORDER = ("model", "negative", "aspect", "size", "count", "seed", "steps", "guidance", "private")
_ASPECT_CHOICES = [app_commands.Choice(name=aspect, value=aspect) for aspect in ASPECTS]


def imagine_command(submission: Submission) -> app_commands.Command[Any, ..., None]:
    """Return the ``/imagine`` command; what none of the models has is not offered, nor a choice between one model."""

    async def imagine(interaction: discord.Interaction[Any], prompt: str, **given: Any) -> None:
        await submission.imagine(InteractionInvocation(interaction), ImageOptions(prompt, **given))

    models, max_count = submission.models, submission.max_count
    callback = with_options(imagine, "imagine", models, max_count, _ORDER)
    callback = app_commands.describe(
        prompt="What the picture shows. Flags work too: --ar 16:9 --seed 7 --size large",
        **models.options_in("imagine", max_count),
    )(callback)
    callback = app_commands.choices(aspect=_ASPECT_CHOICES, **model_choices(models))(callback)
    command: app_commands.Command[Any, ..., None] = app_commands.command(
        name="imagine", description="Generate a picture from a text"
    )(callback)
    command.autocomplete("size")(_size_autocomplete(submission))
    return command


def _size_autocomplete(submission: Submission) -> Any:
    """Return a callback that offers size names, with their pixels at the model and the aspect chosen so far."""

    async def offer(interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        aspect = parse_aspect(getattr(interaction.namespace, "aspect", None) or "1:1")
        chosen = submission.models.named(getattr(interaction.namespace, "model", None))
        profile = chosen or (await submission.chosen.models_for(InteractionInvocation(interaction))).usual
        choices = [
            app_commands.Choice(name=f"{name} ({profile.size_for(aspect, name)})", value=name)
            for name in profile.scales
        ]
        return [choice for choice in choices if typed.lower() in choice.name]

    return offer


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/imagine``."""
    bot.tree.add_command(imagine_command(parts.submission))
