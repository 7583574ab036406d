"""Attachments that members sent, as bytes; still hostile: :mod:`bot.media.untrusted_images` makes images of them."""

from __future__ import annotations

import asyncio

import aiohttp
import discord
import structlog

from bot.errors import Refusal
from bot.media.untrusted_images import too_many_bytes

log = structlog.get_logger(__name__)

_SECONDS = 60.0
_GONE = "Discord does not have that file any more; please send the image again."
_LOST = "The connection to Discord broke while I fetched that image; please try again in a minute."


async def fetch_attachment(attachment: discord.Attachment, limit: int) -> bytes:
    """The attachment's bytes, ``limit`` at most; :class:`Refusal` where it is larger, gone or does not arrive.

    It takes an attachment as Discord described it, never a URL: a member cannot send the bot anywhere.
    """
    if attachment.size > limit:
        raise too_many_bytes(attachment.size, limit)
    # discord.py reads an attachment whole; its session, with which it could be read in pieces, is private. So the
    # size is Discord's word, which its own servers keep: they measured the file that they send. Should they send
    # more, it is held until it has arrived, and then refused.
    try:
        async with asyncio.timeout(_SECONDS):
            data = await attachment.read()
    except (discord.NotFound, discord.Forbidden) as error:
        raise Refusal(_GONE) from error
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        log.warning("attachment_not_fetched", attachment=attachment.id, error=type(error).__name__)
        raise Refusal(_LOST) from error
    if len(data) > limit:
        raise too_many_bytes(len(data), limit)
    return data
