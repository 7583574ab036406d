"""Checks of the bot's account: what Discord says of the token, the intents and the sessions that are left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aiohttp
import discord

from bot.checks.finding import Finding, Surroundings
from bot.errors import ExitStatus
from bot.settings import Settings

SESSIONS_KEPT = 20
"""With so few sessions left the bot does not connect: when the last one is used, Discord resets the token."""

SESSIONS_FEW = 200

INTENT_NOT_GRANTED = (
    "The developer portal does not grant an intent that the bot asks for: switch on Message Content Intent under Bot → "
    "Privileged Gateway Intents, or set MESSAGE_CONTENT_INTENT=false."
)


def check_account(around: Surroundings) -> Iterator[Finding]:
    """Log in without connecting to the gateway. Nothing is asked offline."""
    token = around.settings.discord_token
    if token is None:
        yield Finding("token", ok=False, text="DISCORD_TOKEN is not set: `zimage-bot run` needs it.")
    elif around.offline:
        yield Finding("token", ok=None, text="set; Discord was not asked.")
    else:
        yield from asyncio.run(_ask_discord(around.settings, token.get_secret_value()))


async def _ask_discord(settings: Settings, token: str) -> list[Finding]:
    client = discord.AutoShardedClient(intents=discord.Intents.none())
    try:
        await client.login(token)
        application = await client.application_info()
        limits = await client.fetch_session_start_limits()
    except discord.LoginFailure:
        text = "Discord does not accept it: copy it again from the developer portal."
        return [Finding("token", ok=False, text=text)]
    except (discord.HTTPException, discord.GatewayNotFound, aiohttp.ClientError) as error:
        text = f"Discord cannot be asked ({type(error).__name__}): check the network."
        return [Finding("token", ok=False, text=text, status=ExitStatus.NETWORK)]
    finally:
        await client.close()
    granted = "granted" if content_granted(application.flags) else "not granted, not needed"
    findings = [Finding("token", ok=True, text=f"accepted: {application.name}; message content intent {granted}.")]
    fault = intent_fault(settings, application.flags) or session_fault(limits, settings.shards or 1)
    return [*findings, Finding("discord", ok=False, text=fault)] if fault is not None else findings


def content_granted(flags: discord.ApplicationFlags) -> bool:
    """Return whether the developer portal grants the message content intent; a bot in few servers has it limited."""
    return flags.gateway_message_content or flags.gateway_message_content_limited


def intent_fault(settings: Settings, flags: discord.ApplicationFlags) -> str | None:
    """Return the sentence for an intent that is asked for and not granted; None if there is none."""
    if settings.message_content_intent and not content_granted(flags):
        return INTENT_NOT_GRANTED
    return None


def session_fault(limits: discord.SessionStartLimits, shards: int) -> str | None:
    """Return the sentence for a bot that has too few sessions left today for its shards; None if it has enough."""
    if limits.remaining - (shards - 1) > SESSIONS_KEPT:
        return None
    if limits.total - (shards - 1) <= SESSIONS_KEPT:
        return f"SHARDS={shards} takes more sessions than the {limits.total} that Discord allows a day: leave it empty."
    hours = limits.reset_after / 3_600_000
    return (
        f"Discord allows {limits.remaining} more of {limits.total} sessions within the next {hours:.1f} hours, and "
        "resets the token after the last one: find out what starts the bot so often, and wait."
    )
