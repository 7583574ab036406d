"""Results to deliver, and where they have arrived in a simulated Discord."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import discord
import numpy as np

from bot.jobs.delivery import Destination, Picture, Posted, Result, deliver
from bot.jobs.job import Job, JobRequest
from bot.playground.world import World
from bot.requests.parameters import encode_picture
from bot.requests.spec import ImageSpec
from bot.store.limits import Requester
from bot.store.reply_tokens import ReplyToken
from bot.views.job_cards import JobCards
from bot.views.outbox import DiscordOutbox
from zimage_engine.types import RawImage

SPEC = ImageSpec(
    "a red circle", width=64, height=64, seed=7, steps=8, guidance_scale=0.0, negative_prompt="", model="Z-Image demo"
)
NONCE = "j0123456789"


def noise(side: int = 64) -> bytes:
    """Return a PNG with parameters that is large for its size."""
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return encode_picture(RawImage(side, side, pixels.tobytes()), SPEC)


def result(pictures: int = 1, png: bytes | None = None) -> Result:
    data = png or noise()
    return Result([Picture(f"{number:012x}", 7 + number, data) for number in range(pictures)], 1.0, 0.5, "")


def job_for(channel_id: int, guild_id: int, member_id: int, job_id: int = 1, **changes: Any) -> Job:
    """Return a job whose result goes to a channel; ``changes`` are to its request."""
    request = JobRequest(
        event_id=1,
        spec=SPEC,
        count=1,
        requester=Requester(member_id, guild_id, guild_id),
        channel_id=channel_id,
        visibility="public",
        reply=None,
    )
    return Job(job_id, replace(request, **changes), 100, ("0" * 12,), f"{NONCE}{job_id}", int(time.time()))


def job_in(world: World, channel: Any = None, job_id: int = 1, **changes: Any) -> Job:
    """Return a job of the world's member whose result goes to a channel, by default the world's."""
    return job_for((channel or world.channel).id, world.channel.guild.id, world.member.id, job_id, **changes)


def reply(world: World, token: str | None = None, *, seconds: float = 900) -> ReplyToken:
    """Return a token that expires in this time; Discord knows it if it is one of its own."""
    return ReplyToken(world.env.bot.application_id, token or "unknown", int(time.time() + seconds))


def ways(client: discord.Client, job: Job, card: int | None = None) -> list[Destination]:
    """Return the destinations of a job; ``card`` is the message that answered the command."""
    return DiscordOutbox(client, JobCards(client, 1.0)).destinations(job, card)


async def delivered(world: World, job: Job, card: int | None = None, *, look_first: bool = False) -> Posted:
    """Deliver one picture by the ways that the job has; ``card`` is the message that answered the command."""
    return await deliver(job, ways(world.env.bot, job, card), result(), look_first=look_first)


def pictures_in(channel: Any) -> list[Any]:
    """Return the messages of a channel that hold a picture."""
    return [message for message in channel.history() if message.attachments]


def direct(world: World) -> list[Any]:
    """Return the direct messages to the member that hold a picture."""
    return pictures_in(world.member.user.dm_channel)
