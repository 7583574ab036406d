"""Posting results to Discord: the destinations that ``bot/jobs/delivery.py`` chooses from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import TypeVar

import aiohttp
import discord
import structlog

from bot.jobs.delivery import Destination, Posted, Result, ResultFile, Undeliverable
from bot.jobs.job import Job
from bot.jobs.upload_limits import FILE_LIMIT
from bot.views.results import result_view
from bot.views.text import ALT_TEXT_LIMIT, cut, result_text

log = structlog.get_logger(__name__)

_LONG_JOB_SECONDS = 60
_PAUSES = (1.0, 3.0, 9.0)
T = TypeVar("T")
LOST_CONNECTION = (aiohttp.ClientError, OSError)
_CLOSED = (discord.Forbidden, discord.NotFound)


class DiscordOutbox:
    """The destinations of a result: the channel, the interaction's own response, a direct message."""

    def __init__(self, client: discord.Client) -> None:
        self._client = client

    def destinations(self, job: Job, card_message_id: int | None) -> list[Destination]:
        """Return the destinations, best first. A private result never goes to the channel."""
        destinations: list[Destination] = [] if job.private else [ChannelDestination(self._client, job)]
        if card_message_id is not None and job.request.reply is not None:
            destinations.append(ResponseDestination(self._client, job, card_message_id))
        return [*destinations, DirectMessageDestination(self._client, job)]


class ChannelDestination:
    """A message in the channel. Replies to it reach the bot, and it can be edited for longer than 15 minutes."""

    name = "channel"

    def __init__(self, client: discord.Client, job: Job) -> None:
        self._client = client
        self._job = job
        self._channel: discord.abc.Messageable | None = None

    async def limit(self) -> int:
        request = self._job.request
        if request.guild_id is None:
            channel = await _open_direct_messages(self._client, request.owner_id)
            if channel.id != request.channel_id:
                raise Undeliverable("not a conversation with the bot")
            self._channel = channel
            return FILE_LIMIT
        guild = self._client.get_guild(request.guild_id)
        found = guild.get_channel_or_thread(request.channel_id) if guild else None
        if guild is None or not isinstance(found, discord.abc.Messageable):
            raise Undeliverable("the bot does not see the channel")
        missing = _missing_permissions(found.permissions_for(guild.me), thread=isinstance(found, discord.Thread))
        if missing:
            raise Undeliverable(f"the bot lacks {', '.join(missing)}")
        self._channel = found
        return guild.filesize_limit

    async def post(self, job: Job, result_files: list[ResultFile], result: Result) -> Posted:
        assert self._channel is not None, "limit() finds it"
        message = await _send(self._channel, job, result_files, result, job.nonce)
        return Posted(message.channel.id, message.id)


class ResponseDestination:
    """The interaction's response, open for 15 minutes: for private results, and where the bot may not post messages."""

    name = "response"

    def __init__(self, client: discord.Client, job: Job, card_message_id: int) -> None:
        self._client = client
        self._job = job
        self._card_message_id = card_message_id

    async def limit(self) -> int:
        reply = self._job.request.reply
        if reply is None or reply.expires_at <= time.time():
            raise Undeliverable("the interaction has expired")
        return self._job.request.response_file_limit or FILE_LIMIT

    async def post(self, job: Job, result_files: list[ResultFile], result: Result) -> Posted:
        reply = job.request.reply
        assert reply is not None, "limit() checks it"
        webhook = discord.Webhook.partial(reply.application_id, reply.token, client=self._client)

        async def edit() -> discord.WebhookMessage:
            return await webhook.edit_message(
                self._card_message_id,
                content=_text(job, result),
                attachments=_files(job, result_files),
                view=result_view(job.id),
                allowed_mentions=discord.AllowedMentions.none(),
            )

        await _with_retries(edit)
        return Posted(job.request.channel_id, self._card_message_id)


class DirectMessageDestination:
    """A direct message to the owner."""

    name = "direct message"

    def __init__(self, client: discord.Client, job: Job) -> None:
        self._client = client
        self._job = job

    async def limit(self) -> int:
        return FILE_LIMIT

    async def post(self, job: Job, result_files: list[ResultFile], result: Result) -> Posted:
        channel = await _open_direct_messages(self._client, job.request.owner_id)
        # Another nonce than the channel's, which starts with "j": Discord may have received a message with that one.
        message = await _send(channel, job, result_files, result, "d" + job.nonce[1:])
        return Posted(message.channel.id, message.id)


async def _open_direct_messages(client: discord.Client, user_id: int) -> discord.DMChannel:
    return await _with_retries(lambda: client.create_dm(discord.Object(user_id)))


async def _send(
    channel: discord.abc.Messageable, job: Job, result_files: list[ResultFile], result: Result, nonce: str
) -> discord.Message:
    async def send() -> discord.Message:
        # Sending reads the files to their end, so each attempt needs new ones.
        return await channel.send(
            _text(job, result),
            files=_files(job, result_files),
            view=result_view(job.id),
            nonce=nonce,
            allowed_mentions=_mentions(job, result),
            suppress_embeds=True,
        )

    return await _with_retries(send)


async def _with_retries(request: Callable[[], Awaitable[T]]) -> T:
    """Make a request, again after server errors and lost connections; discord.py does not retry those here.

    The nonce keeps Discord from posting a message twice. Raises :class:`Undeliverable`.
    """
    for pause in (*_PAUSES, None):
        try:
            return await request()
        except _CLOSED as error:
            raise Undeliverable(f"Discord says {error.status} ({error.code})") from error
        except (discord.DiscordServerError, *LOST_CONNECTION) as error:
            if pause is None:
                raise Undeliverable(f"Discord does not answer ({type(error).__name__})") from error
            log.warning("delivery_retried", pause=pause, error=type(error).__name__)
            await asyncio.sleep(pause)
        except discord.HTTPException as error:
            raise Undeliverable(f"Discord says {error.status} ({error.code})") from error
    raise AssertionError("the last attempt returns or raises")


def _missing_permissions(granted: discord.Permissions, *, thread: bool) -> list[str]:
    wanted = {
        "View Channel": granted.view_channel,
        "Send Messages": granted.send_messages_in_threads if thread else granted.send_messages,
        "Attach Files": granted.attach_files,
    }
    return [name for name, has in wanted.items() if not has]


def _files(job: Job, result_files: list[ResultFile]) -> list[discord.File]:
    alt_text = cut(job.request.spec.prompt, ALT_TEXT_LIMIT)
    hidden = job.request.spoiler
    return [
        discord.File(BytesIO(result_file.data), result_file.name, description=alt_text, spoiler=hidden)
        for result_file in result_files
    ]


def _text(job: Job, result: Result) -> str:
    seeds = [picture.seed for picture in result.pictures]
    request = job.request
    return result_text(request.spec, request.owner_id, seeds, result.device_seconds, result.note, request.original_link)


def _mentions(job: Job, result: Result) -> discord.AllowedMentions:
    """Return the allowed mentions: the owner of a job that took more than a minute, otherwise nobody."""
    if result.waited < _LONG_JOB_SECONDS:
        return discord.AllowedMentions.none()
    return discord.AllowedMentions(everyone=False, roles=False, users=[discord.Object(job.request.owner_id)])
