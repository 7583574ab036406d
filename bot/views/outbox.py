"""Posting results to Discord: the destinations that ``bot/jobs/delivery.py`` chooses from."""

from __future__ import annotations

import time
from io import BytesIO
from typing import Any

import discord

from bot.jobs.card import NoteCard
from bot.jobs.delivery import Destination, Outage, Posted, Result, ResultFile, Undeliverable
from bot.jobs.job import Job
from bot.jobs.upload_limits import FILE_LIMIT, server_file_limit
from bot.store.job_rows import JobRow
from bot.store.open_cards import OpenCard
from bot.views.discord_requests import EXPIRED_STATUSES, webhook_of, with_retry
from bot.views.job_cards import JobCards
from bot.views.permissions import MANAGE_THREADS, ServerChannel, missing_permissions
from bot.views.progress import ProgressCard
from bot.views.results import is_result, result_view
from bot.views.text import picture_alt_text, result_text

_LONG_JOB_SECONDS = 60
_MESSAGES_SEARCHED = 100
_THREAD_ARCHIVED = 50083
"""Discord's code for a thread that sending does not unarchive, since it is locked."""


class DiscordOutbox:
    """The destinations of a result: the channel, the interaction's own response, a direct message."""

    def __init__(self, client: discord.Client, cards: JobCards) -> None:
        self._client = client
        self._cards = cards

    def restore_card(self, job: Job, row: JobRow, note_card: NoteCard) -> ProgressCard:
        return self._cards.restore(job, row, note_card)

    async def end_open_card(self, card: OpenCard, draft_id: int) -> None:
        await self._cards.end_open_card(card, draft_id)

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
        found = await _find_channel(self._client, request.guild_id, request.channel_id)
        missing = missing_permissions(found)
        if missing:
            raise Undeliverable(f"the bot lacks {', '.join(missing)}", missing)
        self._channel = found
        return server_file_limit(found.guild.filesize_limit)

    async def post(self, job: Job, result_files: list[ResultFile], result: Result) -> Posted:
        assert self._channel is not None, "limit() finds it"
        message = await _send(self._channel, job, result_files, result, job.nonce)
        return Posted(message.channel.id, message.id)

    async def find(self, job: Job) -> Posted | None:
        channel = self._client.get_partial_messageable(job.request.channel_id, guild_id=job.request.guild_id)
        return await _find_in(channel, job, self._client)


class ResponseDestination:
    """The interaction's response, open for 15 minutes: for private results, and where the bot may not post messages."""

    name = "response"

    def __init__(self, client: discord.Client, job: Job, card_message_id: int) -> None:
        self._client = client
        self._job = job
        self._card_message_id = card_message_id

    async def limit(self) -> int:
        self._webhook()
        return self._job.request.response_file_limit or FILE_LIMIT

    async def post(self, job: Job, result_files: list[ResultFile], result: Result) -> Posted:
        webhook, text = self._webhook(), _text(job, result)

        async def edit() -> discord.WebhookMessage:
            return await webhook.edit_message(
                self._card_message_id,
                content=text,
                attachments=_files(job, result_files),
                view=result_view(job.id),
                allowed_mentions=discord.AllowedMentions.none(),
            )

        await with_retry(edit, expired=EXPIRED_STATUSES)
        return Posted(job.request.channel_id, self._card_message_id)

    async def find(self, job: Job) -> Posted | None:
        webhook = self._webhook()
        message = await with_retry(lambda: webhook.fetch_message(self._card_message_id), expired=EXPIRED_STATUSES)
        return Posted(job.request.channel_id, self._card_message_id) if is_result(message, job.id) else None

    def _webhook(self) -> discord.Webhook:
        """Return the interaction's webhook. Raises :class:`Undeliverable` if its token has expired."""
        reply = self._job.request.reply
        if reply is None or reply.expires_at <= time.time():
            raise Undeliverable("the interaction has expired")
        return webhook_of(self._client, reply)


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

    async def find(self, job: Job) -> Posted | None:
        return await _find_in(await _open_direct_messages(self._client, job.request.owner_id), job, self._client)


async def _find_channel(client: discord.Client, guild_id: int, channel_id: int) -> ServerChannel:
    """Return the channel of a server, which can hold messages.

    discord.py forgets threads that are archived, so what it does not know is fetched. Raises :class:`Undeliverable` if
    the bot does not see the channel, :class:`Outage` if the server is not available at the moment.
    """
    guild = client.get_guild(guild_id)
    if not client.is_ready() or (guild is not None and guild.unavailable):
        raise Outage("the server is not available")
    if guild is None:
        raise Undeliverable("the bot is not in the server")
    found: Any = guild.get_channel_or_thread(channel_id)
    if found is None:
        found = await with_retry(lambda: client.fetch_channel(channel_id))
    if not isinstance(found, ServerChannel):
        raise Undeliverable("the bot does not see the channel")
    return found


async def _open_direct_messages(client: discord.Client, user_id: int) -> discord.DMChannel:
    return await with_retry(lambda: client.create_dm(discord.Object(user_id)))


async def _find_in(channel: discord.abc.Messageable, job: Job, client: discord.Client) -> Posted | None:
    """Return the job's result among the bot's messages of the channel's last ones, None if it is not there."""
    if client.user is None:
        raise Outage("not connected yet")
    me = client.user.id
    # Discord made the event's id, so this holds even if the clock of this machine is wrong.
    asked = discord.Object(job.request.event_id)

    async def find() -> Posted | None:
        async for message in channel.history(limit=_MESSAGES_SEARCHED, after=asked, oldest_first=False):
            if message.author.id == me and is_result(message, job.id):
                return Posted(message.channel.id, message.id)
        return None

    return await with_retry(find)


async def _send(
    channel: discord.abc.Messageable, job: Job, result_files: list[ResultFile], result: Result, nonce: str
) -> discord.Message:
    text, mentions = _text(job, result), _mentions(job, result)

    async def send() -> discord.Message:
        # Sending reads the files to their end, so each attempt needs new ones.
        return await channel.send(
            text,
            files=_files(job, result_files),
            view=result_view(job.id),
            nonce=nonce,
            allowed_mentions=mentions,
            suppress_embeds=True,
        )

    try:
        return await with_retry(send)
    except Undeliverable as error:
        if isinstance(error.__cause__, discord.HTTPException) and error.__cause__.code == _THREAD_ARCHIVED:
            raise Undeliverable(str(error), (MANAGE_THREADS,)) from error
        raise


def _files(job: Job, result_files: list[ResultFile]) -> list[discord.File]:
    return [
        discord.File(
            BytesIO(result_file.data),
            result_file.name,
            description=picture_alt_text(job.request.spec.prompt, number, len(result_files)),
            spoiler=job.request.spoiler,
        )
        for number, result_file in enumerate(result_files, 1)
    ]


def _text(job: Job, result: Result) -> str:
    seeds = [picture.seed for picture in result.pictures]
    request = job.request
    return result_text(
        request.spec,
        request.owner_id,
        seeds,
        result.device_seconds,
        result.note,
        request.original_link,
        request.kind,
        model=request.spec.model if result.names_model else "",
    )


def _mentions(job: Job, result: Result) -> discord.AllowedMentions:
    """Return the allowed mentions: the owner of a job that took more than a minute, otherwise nobody."""
    if result.waited < _LONG_JOB_SECONDS:
        return discord.AllowedMentions.none()
    return discord.AllowedMentions(everyone=False, roles=False, users=[discord.Object(job.request.owner_id)])
