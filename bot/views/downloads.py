"""Downloads attachments. The bytes are untrusted: :mod:`bot.media.untrusted_images` decodes them."""

from __future__ import annotations

import asyncio

import aiohttp
import discord
import structlog

from bot.errors import Refusal
from bot.media.untrusted_images import too_many_bytes

log = structlog.get_logger(__name__)

_SECONDS = 60.0
_GONE = "Discord does not have that file any more; please send the picture again."
_LOST = "The connection to Discord broke while I fetched that picture; please try again in a minute."


async def fetch_attachment(attachment: discord.Attachment, limit: int) -> bytes:
    """Return the attachment's bytes. Raises :class:`Refusal` if they are more than ``limit``, gone or do not arrive.

    Takes Discord's own attachments, never a URL, so that a member cannot make the bot request other addresses.
    """
    if attachment.size > limit:
        raise too_many_bytes(attachment.size, limit)
    # discord.py reads an attachment as a whole, and its session is private, so the download cannot be stopped at the
    # limit. The size that Discord states is trusted before, and the true size checked after.
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
