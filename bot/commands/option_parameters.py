"""The parameters of slash commands for options of pictures, which depend on the bot's models."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from discord import app_commands

from bot.requests.models import Models
from bot.requests.option_types import Option, SlashCommand
from bot.requests.options import MODEL, OPTIONS

Callback = Callable[..., Coroutine[Any, Any, None]]
_BY_NAME = {option.name: option for option in OPTIONS}
_TITLE_LIMIT = 100
"""Discord's limit for the name of a choice."""


def with_options(
    callback: Callback,
    command: SlashCommand,
    models: Models,
    max_count: int,
    order: Iterable[str],
    types: dict[str, Any] | None = None,
) -> Any:
    """Give a callback with ``**given`` a parameter for each option that the command offers, before keyword-only ones.

    discord.py reads them from the signature. ``order`` are names of options; ``types`` are annotations for some of
    them. Numbers have the bounds of the model that allows most: the request is checked against its own model.
    """
    fixed = list(inspect.signature(callback, eval_str=True).parameters.values())[:-1]
    first = [each for each in fixed if each.kind is not inspect.Parameter.KEYWORD_ONLY]
    offered = models.options_in(command, max_count)
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=None,
            annotation=(types or {}).get(name) or _annotation(_BY_NAME[name], models, max_count),
        )
        for name in order
        if name in offered
    ]
    callback.__signature__ = inspect.Signature([*first, *added, *fixed[len(first) :]])  # type: ignore[attr-defined]  # inspect reads it
    return callback


def model_choices(models: Models) -> dict[str, list[app_commands.Choice[str]]]:
    """Return the choices of the option ``model``; nothing if the command does not have it."""
    if not models.several:
        return {}
    named = [(f"{profile.name}: {profile.purpose}"[:_TITLE_LIMIT], profile.name) for profile in models.profiles]
    return {MODEL.name: [app_commands.Choice(name=name, value=value) for name, value in named]}


def _annotation(option: Option[Any], models: Models, max_count: int) -> Any:
    if option.bounds is None:
        return option.value_type | None
    low, high = (option.value_type(bound) for bound in models.bounds(option, max_count))
    return app_commands.Range[option.value_type, low, high] | None
