"""The one error handler: a sentence for the member, a log line for the operator, the same error id in both."""

from __future__ import annotations

import secrets

import discord
import structlog
from discord import app_commands

from bot.errors import Refusal
from bot.views.text import MESSAGE_LIMIT, cut, inert
from zimage_engine.types import EngineError

log = structlog.get_logger(__name__)

_UNKNOWN_INTERACTION = 10062
_ALREADY_ANSWERED = 40060


def explain(error: BaseException) -> str:
    """Return what the member is told. Unexpected errors are logged with their traceback, under the id that is told."""
    cause = getattr(error, "original", error)  # discord.py wraps what a callback raised
    match cause:
        case Refusal() | EngineError():
            return str(cause)
        case app_commands.TransformerError():
            return f"“{cut(str(cause.value), 50)}” is not something this option takes."
        case app_commands.NoPrivateMessage():
            return "This command works in servers only."
        case app_commands.MissingPermissions():
            return f"You need the permission {', '.join(cause.missing_permissions)} for this."
        case app_commands.CommandOnCooldown():
            return f"Please wait {cause.retry_after:.0f} s before you do this again."
        case app_commands.CommandSignatureMismatch():
            return "This command has just changed; please try again in a minute."
        case app_commands.CheckFailure():
            return "You may not use this here."
    error_id = secrets.token_hex(4)
    log.error("unexpected_error", error_id=error_id, exc_info=cause)
    return f"Something went wrong on my side. Please try again; if it happens again, tell an admin. (error {error_id})"


async def answer(interaction: discord.Interaction, sentence: str) -> None:
    """Send a sentence to the member privately, whether or not the interaction has been answered already."""
    try:
        if interaction.response.is_done():
            await interaction.followup.send(sentence, ephemeral=True)
        else:
            await interaction.response.send_message(sentence, ephemeral=True)
    except discord.HTTPException as error:
        if error.code not in (_UNKNOWN_INTERACTION, _ALREADY_ANSWERED):
            log.warning("answer_not_sent", code=error.code, status=error.status)


async def answer_error(interaction: discord.Interaction, error: BaseException) -> None:
    """Tell the member of an error, as every command, button and modal does.

    After an unexpected one, the prompt that a member typed is given back: Discord does not keep it.
    """
    sentence = explain(error)
    cause = getattr(error, "original", error)
    prompt = getattr(interaction.namespace, "prompt", None)
    if prompt and not isinstance(cause, (Refusal, EngineError, app_commands.AppCommandError)):
        sentence = f"{sentence}\n{inert(str(prompt), MESSAGE_LIMIT - len(sentence) - 1)}"
    await answer(interaction, sentence)
