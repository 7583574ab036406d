"""The connection to Discord: what is checked before it is made, and its errors as sentences."""

from __future__ import annotations

import aiohttp
import discord
import structlog

from bot.checks.account import INTENT_NOT_GRANTED, SESSIONS_FEW, intent_fault, session_fault
from bot.client import ZImageBot
from bot.errors import NetworkDown, StartupError, TemporaryFault

log = structlog.get_logger(__name__)

_NOT_ACCEPTED = (
    "Discord does not accept the token: copy it again from the developer portal (Bot → Reset Token) into DISCORD_TOKEN."
)
_CLOSED = {
    4004: _NOT_ACCEPTED,
    4011: "Discord wants more connections for this many servers: leave SHARDS empty, or set it higher.",
    4013: "Discord does not know an intent that the bot asks for: update the bot.",
    4014: INTENT_NOT_GRANTED,
}
"""What the gateway's close codes mean that a new connection would not change.

https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes
"""


async def connect(client: ZImageBot, token: str) -> None:
    """Log in, start everything behind Discord, and be connected until the client is closed.

    What Discord says without a gateway session comes first: a session that fails counts, too. Raises
    :class:`StartupError`.
    """
    try:
        await client.login(token)
        await _check_account(client)
        await client.connect()
    except discord.LoginFailure as error:
        raise StartupError(_NOT_ACCEPTED) from error
    except discord.PrivilegedIntentsRequired as error:
        raise StartupError(INTENT_NOT_GRANTED) from error
    except discord.ConnectionClosed as error:
        if error.code in _CLOSED:
            raise StartupError(_CLOSED[error.code]) from error
        raise _refused(error) from error
    except (discord.HTTPException, discord.GatewayNotFound) as error:
        raise _refused(error) from error
    except (aiohttp.ClientConnectionError, TimeoutError) as error:
        raise NetworkDown(f"Discord cannot be reached ({type(error).__name__}): check the network.") from error


async def _check_account(client: ZImageBot) -> None:
    """Check the intents that the portal grants, and the sessions that are left today."""
    application = client.application
    if application is not None and (fault := intent_fault(client.settings, application.flags)) is not None:
        raise StartupError(fault)
    limits = await client.fetch_session_start_limits()
    if (fault := session_fault(limits, client.settings.shards or 1)) is not None:
        raise TemporaryFault(fault)
    if limits.remaining <= SESSIONS_FEW:
        log.warning("few_sessions_left", remaining=limits.remaining, hours=round(limits.reset_after / 3_600_000, 1))


def _refused(error: Exception) -> NetworkDown:
    return NetworkDown(f"Discord refuses the connection ({error}): try again in a few minutes.")
