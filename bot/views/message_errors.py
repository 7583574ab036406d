"""Answers the errors of message handlers: discord.py only logs them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import discord
import structlog

from bot.errors import NotHere
from bot.store.database import Database
from bot.throttle import Throttle
from bot.views.card_messages import reply_shortly
from bot.views.errors import Answer, cause_of, render_error

log = structlog.get_logger(__name__)


def safe_message_handler(
    handler: Callable[[discord.Message], Awaitable[None]], not_here: Throttle[int], database: Database
) -> Callable[[discord.Message], Coroutine[Any, Any, None]]:
    """Return a listener that answers the handler's errors with a short reply, which is deleted after some seconds.

    Where the bot may not write, the answer is a direct message. Other answers are public. So that nobody fills a
    channel, a member who may not use the bot there (:class:`NotHere`) is told once per pause of ``not_here``, which
    goes by member id.
    """

    async def safe(message: discord.Message) -> None:
        try:
            await handler(message)
        except Exception as error:  # noqa: BLE001 - answered, and logged if it is unexpected
            cause = cause_of(error)
            if isinstance(cause, NotHere) and not not_here.take(message.author.id):
                return
            sentence = cause.in_public if isinstance(cause, NotHere) else None
            told = await render_error(error, database, message.author.id, message.guild, sentence=sentence)
            try:
                await _tell(message, told)
            except discord.HTTPException as failure:
                log.warning("answer_not_sent", code=failure.code, status=failure.status)

    return safe


async def _tell(message: discord.Message, told: Answer) -> None:
    """Reply to a message; where the bot may not write, send a direct message to its author."""
    try:
        await reply_shortly(message, told.text, told.view)
    except discord.Forbidden:
        await message.author.send(told.text, view=told.view or discord.utils.MISSING)
