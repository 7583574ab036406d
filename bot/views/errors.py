"""The one error handler: a sentence for the member, a log line for the operator, the same error id in both.

Under the sentence about a request that was refused or failed stand the words that the member typed, which Discord does
not keep, and buttons to edit the request or to submit another one in its place.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import aiohttp
import discord
import structlog
from discord import app_commands

from bot.errors import Refusal, is_database_busy, is_disk_full
from bot.inert import cut, inert, plain, utf16_length
from bot.requests.drafts import Draft, RequestError, keep_draft
from bot.requests.refusals import RequestRefused
from bot.store.database import Database
from bot.views.channels import name_categories
from bot.views.discord_requests import reason_of
from bot.views.drafts import draft_view, typed_request_view
from bot.views.parts import parts_of
from bot.views.text import MESSAGE_LIMIT
from bot.views.typed_requests import draft_of
from zimage_engine.profiles import is_blank
from zimage_engine.types import EngineError

log = structlog.get_logger(__name__)

_UNKNOWN_INTERACTION = 10062
_ALREADY_ANSWERED = 40060
DATABASE_BUSY = "My database is busy, so I could not do this, and nothing was charged: please try again in a minute."
"""What a member is told while another process, such as a database browser, holds the database locked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a member is told: a text, and the buttons under it if there are some."""

    text: str
    view: discord.ui.View | None = None


def cause_of(error: BaseException) -> BaseException:
    """Return the error that discord.py, or a failed request, wraps."""
    while isinstance(error, (RequestError, app_commands.CommandInvokeError)):
        error = error.original
    return error


def explain(error: BaseException) -> str:
    """Return what the member is told. Unexpected errors are logged with their traceback, under the id that is told."""
    cause = cause_of(error)
    match cause:
        case Refusal() | EngineError():
            return plain(str(cause))
        case app_commands.TransformerError():
            return f"{inert(str(cause.value), 50)} is not something this option takes."
        case app_commands.NoPrivateMessage():
            return "This command works in servers only."
        case app_commands.MissingPermissions():
            return f"You need the permission {', '.join(cause.missing_permissions)} for this."
        case app_commands.CommandOnCooldown():
            return f"Please wait {cause.retry_after:.0f} s before you do this again."
        case app_commands.CommandSignatureMismatch():
            return "This command has just changed; please try again in a minute."
        case app_commands.CommandNotFound():
            return "I no longer have this command: restart Discord (Ctrl+R) to see those that I have."
        case app_commands.CheckFailure():
            return "You may not use this here."
    if is_database_busy(cause):
        log.warning("database_busy", reason=str(cause))
        return DATABASE_BUSY
    error_id = secrets.token_hex(4)
    if is_disk_full(cause):
        log.error("unexpected_error", error_id=error_id, exc_info=cause)
        return f"My disk is full, so I cannot do this now: my operator has to make room first. (error {error_id})"
    if isinstance(cause, aiohttp.ClientError):  # a traceback would end in the URL, and with it in a token
        log.error("unexpected_error", error_id=error_id, reason=reason_of(cause))
    else:
        log.error("unexpected_error", error_id=error_id, exc_info=cause)
    return f"Something went wrong on my side. Please try again; if it happens again, tell an admin. (error {error_id})"


async def render_error(
    error: BaseException,
    database: Database,
    owner_id: int,
    guild: discord.Guild | None,
    draft: Draft | None = None,
    sentence: str | None = None,
) -> Answer:
    """Return what to tell the member with this id of an error; every refusal of a request is made here.

    ``guild`` is the server where they are told. ``draft`` is what they had asked for, if the error does not say; it is
    kept, so that the buttons find it for a day. ``sentence`` replaces the error's own.
    """
    # Before the request's words are added, which fill the message up to Discord's limit.
    text = cut(name_categories(sentence or explain(error), guild), MESSAGE_LIMIT)
    wrapped = error.original if isinstance(error, app_commands.CommandInvokeError) else error
    draft = wrapped.draft if isinstance(wrapped, RequestError) else draft
    if draft is None:
        return Answer(text)
    cause = cause_of(error)
    alternatives = cause.alternatives if isinstance(cause, RequestRefused) else ()
    return await _render_request(text, database, owner_id, draft.offering(alternatives))


async def _render_request(sentence: str, database: Database, owner_id: int, draft: Draft) -> Answer:
    """Return a sentence about a request that is not carried out, with its words and its buttons."""
    text = request_text(sentence, draft)
    try:
        draft_id = await keep_draft(database, owner_id, draft)
    except Exception as error:
        if not isinstance(error, Refusal) and not is_database_busy(error):  # the database is closed already, or locked
            log.exception("draft_not_kept")
        # The button finds the request in the message.
        return Answer(text, typed_request_view() if draft.prompt and not draft.is_edit else None)
    return Answer(text, draft_view(draft_id, draft.alternatives))


def request_text(sentence: str, draft: Draft) -> str:
    """Return a sentence about a request, with the request's words under it as far as a message has room."""
    if is_blank(draft.typed):
        return sentence
    return f"{sentence}\n{inert(draft.typed, MESSAGE_LIMIT - utf16_length(sentence) - 1)}"


async def _answer(interaction: discord.Interaction, sentence: str, view: discord.ui.View | None) -> None:
    """Send a sentence to the member privately, whether or not the interaction has been answered already."""
    buttons = view or discord.utils.MISSING
    try:
        if interaction.response.is_done():
            await interaction.followup.send(sentence, ephemeral=True, view=buttons)
        else:
            await interaction.response.send_message(sentence, ephemeral=True, view=buttons)
    except discord.HTTPException as error:
        if error.code not in (_UNKNOWN_INTERACTION, _ALREADY_ANSWERED):
            log.warning("answer_not_sent", code=error.code, status=error.status)


async def answer_error(interaction: discord.Interaction[Any], error: BaseException) -> None:
    """Tell the member of an error, as every command, button and modal does."""
    database = parts_of(interaction).database
    told = await render_error(error, database, interaction.user.id, interaction.guild, draft_of(interaction))
    await _answer(interaction, told.text, told.view)
