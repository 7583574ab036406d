"""Requests to Discord whose outcome matters: what each failure means, and one quick retry."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar

import aiohttp
import discord
import structlog

from bot.jobs.delivery import Outage, TooLargeForDiscord, Undeliverable
from bot.store.reply_tokens import ReplyToken

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0
_TOO_LARGE = 40005
EXPIRED_STATUSES = (401, 404)
"""The HTTP statuses with which Discord answers an expired interaction token."""
_NOT_THE_DESTINATION = (HTTPStatus.UNAUTHORIZED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
"""Statuses below 500 that say nothing of the message or its destination."""
T = TypeVar("T")
LOST_CONNECTION = (aiohttp.ClientError, OSError)
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError)
"""What discord.py raises for an answer that is not the JSON that it expects."""


def webhook_of(client: discord.Client, reply: ReplyToken) -> discord.Webhook:
    """Return the webhook of an interaction, which another process may have received."""
    webhook = discord.Webhook.partial(reply.application_id, reply.token, client=client)
    webhook.type = discord.WebhookType.application  # it can send private messages
    return webhook


def reason_of(error: BaseException) -> str:
    """Return what to log of a failed request to Discord: the error's type and status.

    Not its text: that of aiohttp's errors holds the URL, and with it an interaction's token, and that of discord.py's
    the answer of whatever stands before Discord. The delivery's own errors have a text without either.
    """
    if isinstance(error, discord.HTTPException):
        return f"{type(error).__name__} {error.status} ({error.code})"
    if isinstance(error, (Undeliverable, Outage, TooLargeForDiscord)):
        return str(error)
    return type(error).__name__


async def with_retry(request: Callable[[], Awaitable[T]], expired: tuple[int, ...] = ()) -> T:
    """Make a request, once more after a 503 or a lost connection, which discord.py does not retry here.

    The nonce keeps Discord from posting a message twice. ``expired`` are the statuses that tell an expired token.
    Raises :class:`Undeliverable`, :class:`Outage`, and :class:`TooLargeForDiscord`.
    """
    try:
        return await request()
    except LOST_CONNECTION as error:
        log.info("delivery_retried", error=type(error).__name__)
    except discord.HTTPException as error:
        if error.status != HTTPStatus.SERVICE_UNAVAILABLE:
            raise _delivery_error(error, expired) from error
        log.info("delivery_retried", error=type(error).__name__)
    except (discord.DiscordException, *_UNREADABLE) as error:
        raise _delivery_error(error, expired) from error
    await asyncio.sleep(_RETRY_SECONDS)
    try:
        return await request()
    except (discord.DiscordException, *LOST_CONNECTION, *_UNREADABLE) as error:
        raise _delivery_error(error, expired) from error


def _delivery_error(error: Exception, expired: tuple[int, ...]) -> Undeliverable | Outage | TooLargeForDiscord:
    """Return what an error of discord.py means for the delivery."""
    if isinstance(error, _UNREADABLE):
        log.warning("answer_not_readable", exc_info=error)
    if not isinstance(error, discord.HTTPException):
        return Outage(f"Discord does not answer ({type(error).__name__})")
    reason = f"Discord says {error.status} ({error.code})"
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or error.code == _TOO_LARGE:
        return TooLargeForDiscord(reason)
    if error.status in expired:
        return Undeliverable(reason)
    # A proxy in front of Discord that refuses everything answers with a page of its own, without an error code.
    by_discord = error.code != 0 or error.status == HTTPStatus.NOT_FOUND
    refused = HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR
    if not refused or not by_discord or error.status in _NOT_THE_DESTINATION:
        return Outage(reason)
    return Undeliverable(reason)
