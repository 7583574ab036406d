"""Collects the facts that :mod:`bot.moderation.access` decides by, for the pictures in the database and in messages."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import replace

import discord

from bot.commands.invocation import Invocation, place_of
from bot.errors import Refusal
from bot.jobs.job import JobRequest
from bot.moderation.access import Action, Actor, Editable, Picture, Place, Verdict, may
from bot.requests.spec import ImageSpec
from bot.store import images
from bot.store.database import Database
from bot.store.guild_settings import EDITABLE, read_setting
from bot.store.images import ImageRow

_FETCHED_MAX = 500
_FETCHED_SECONDS = 60.0
_Channel = discord.abc.GuildChannel | discord.Thread


class PictureAccess:
    """Answers who may do what with which picture.

    discord.py forgets threads that are archived, so these are fetched. The last 500 are remembered for a minute.
    """

    def __init__(self, client: discord.Client, database: Database, retention_days: int) -> None:
        self._client = client
        self._database = database
        self._retention_days = retention_days
        self._fetched: OrderedDict[int, tuple[float, _Channel | None]] = OrderedDict()

    async def verdict(self, action: Action, invocation: Invocation, row: ImageRow) -> Verdict:
        """Return whether the member may do something with one of the bot's pictures."""
        picture = await self._picture_of(invocation, row)
        if row.parent_id is not None and action in (Action.REPEAT, Action.COMPARE):
            parent = await images.find(self._database, row.parent_id)
            original = await self._picture_of(invocation, parent) if parent is not None else None
            picture = replace(picture, original=original)
        return may(
            action, Actor(invocation.user.id), invocation.place, picture, editable=await self._editable(invocation)
        )

    async def allows(self, action: Action, invocation: Invocation, row: ImageRow) -> bool:
        return (await self.verdict(action, invocation, row)).allowed

    async def check(self, action: Action, invocation: Invocation, row: ImageRow) -> None:
        """Raise :class:`Refusal` if the member may not do that with the picture."""
        _raise(await self.verdict(action, invocation, row))

    async def may_cancel(self, invocation: Invocation, request: JobRequest) -> bool:
        """Return whether the member may cancel a request: their own, or as a moderator of the channel it is for.

        A request in another server is not theirs, whatever the id in a ``custom_id`` says.
        """
        actor, place = Actor(invocation.user.id), invocation.place
        if request.owner_id == actor.member_id:
            return True
        if request.guild_id is None or request.guild_id != place.guild_id:
            return False
        picture = Picture(request.owner_id, await self.place(invocation, request.channel_id))
        return may(Action.CANCEL, actor, place, picture).allowed

    async def check_request(self, invocation: Invocation, owner_id: int, channel_id: int) -> None:
        """Raise :class:`Refusal` if the owner of a request may not use its original here: it has an age restriction."""
        if owner_id == invocation.user.id:
            picture = Picture(owner_id, await self.place(invocation, channel_id))
            _raise(may(Action.SEE, Actor(owner_id), invocation.place, picture))

    async def check_message(self, action: Action, invocation: Invocation, message: discord.Message) -> None:
        """Raise :class:`Refusal` if the member may not do that with the attachments of a message.

        A private (ephemeral) message was shown to the member, or the bot would not have it.
        """
        private = message.flags.ephemeral
        picture = Picture(
            owner_id=invocation.user.id if private else message.author.id,
            place=await self.place(invocation, message.channel.id),
            private=private,
            ours=message.author == self._client.user,
        )
        _raise(
            may(action, Actor(invocation.user.id), invocation.place, picture, editable=await self._editable(invocation))
        )

    async def visible_row(self, invocation: Invocation, image_id: str) -> ImageRow:
        """Return the image with this id. Raises :class:`Refusal` if it is gone, or the member may not see it here."""
        row = await images.find(self._database, image_id)
        if row is not None and not row.owner_id:
            raise Refusal(self.why_gone(row))
        if row is None:
            raise Refusal(Verdict.NOT_FOUND.value)
        await self.check(Action.SEE, invocation, row)
        if row.deleted:
            raise Refusal(self.why_gone(row))
        return row

    def why_gone(self, row: ImageRow) -> str:
        """Return why an image is gone: somebody deleted it, or it was too old."""
        if not row.owner_id:
            return "This picture is no longer kept."
        if row.forgotten_at is None:
            return "This picture was deleted."
        days = "a day" if self._retention_days == 1 else f"{self._retention_days} days"
        return (
            f"I keep pictures for {days}, and this one is older. What Discord still shows you can be saved and given "
            "to /edit or /details."
        )

    async def place(self, invocation: Invocation, channel_id: int) -> Place:
        """Return a channel or thread with what the member may do there; nothing if it is in no server of theirs."""
        if channel_id == invocation.channel_id:
            return invocation.place
        guild, member = invocation.guild, invocation.user
        unknown = Place(guild.id if guild is not None else None, channel_id)
        if guild is None or not isinstance(member, discord.Member):
            return unknown
        channel = guild.get_channel_or_thread(channel_id) or await self._fetch(guild, channel_id)
        if channel is None:
            return unknown
        granted = channel.permissions_for(member)
        reads = granted.read_messages and granted.read_message_history and await _is_in(member, channel, granted)
        return replace(place_of(channel, granted, guild.id, channel_id), reads=reads)

    async def _picture_of(self, invocation: Invocation, row: ImageRow) -> Picture:
        place = await self.place(invocation, row.result_channel_id or row.channel_id)
        if place.guild_id != row.guild_id:
            place = Place(row.guild_id, place.channel_id)
        edited = bool(ImageSpec.from_json(row.spec).original) or row.parent_id is not None
        # Until it is posted it is nobody else's: its owner may never have to pay for it.
        private = row.private or (row.result_message_id is None and not row.deleted)
        return Picture(row.owner_id, place, private=private, edited=edited, gone=row.deleted)

    async def _editable(self, invocation: Invocation) -> Editable:
        setting = await read_setting(self._database, invocation.guild.id if invocation.guild else None, EDITABLE)
        return "own" if setting == "own" else "results" if setting == "results" else "all"

    async def _fetch(self, guild: discord.Guild, channel_id: int) -> _Channel | None:
        """Return a channel or thread of a server that the bot is in; None if the bot cannot see it there."""
        at, channel = self._fetched.get(channel_id, (-_FETCHED_SECONDS, None))
        if time.monotonic() - at >= _FETCHED_SECONDS:
            channel = await self._ask(guild, channel_id)
            self._fetched[channel_id] = time.monotonic(), channel
            self._fetched.move_to_end(channel_id)
            while len(self._fetched) > _FETCHED_MAX:
                self._fetched.popitem(last=False)
        return channel if channel is not None and channel.guild.id == guild.id else None

    async def _ask(self, guild: discord.Guild, channel_id: int) -> _Channel | None:
        if self._client.get_guild(guild.id) is None:
            return None  # the member installed the bot for themselves
        try:
            found = await self._client.fetch_channel(channel_id)
        except (discord.HTTPException, discord.InvalidData):
            return None
        return found if isinstance(found, discord.abc.GuildChannel | discord.Thread) else None


async def _is_in(member: discord.Member, channel: _Channel, granted: discord.Permissions) -> bool:
    """Return False for a private thread of which the member is neither a member nor a moderator."""
    if not isinstance(channel, discord.Thread) or not channel.is_private() or granted.manage_threads:
        return True
    try:
        await channel.fetch_member(member.id)
    except discord.HTTPException:
        return False
    return True


def _raise(verdict: Verdict) -> None:
    if not verdict.allowed:
        raise Refusal(verdict.value)
