"""What is to be edited: one of our images, an attachment, a message; found, checked and read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import discord
from PIL import Image

from bot.commands.invocation import Invocation
from bot.errors import Refusal
from bot.media.untrusted_images import DecodedImage, ImageReader
from bot.requests.spec import ImageSpec
from bot.store import images
from bot.store.database import Database
from bot.store.guild_settings import EDITABLE, read_setting
from bot.store.images import ImageRow
from bot.views.downloads import fetch_attachment
from bot.views.links import message_link
from zimage_engine.types import RawImage

NO_PICTURE = (
    "I see no picture to edit: give one with the image option of /edit, reply to one of my pictures, or right-click "
    "a picture → Apps → Edit image."
)
_GONE = "This picture was deleted."
_NOT_YOURS = "I know no such picture here."
_LINK = re.compile(
    r"https?://(?:\w+\.)?discord(?:app)?\.com/channels/(?P<guild>\d+|@me)/(?P<channel>\d+)/(?P<id>\d+)/?"
)


@dataclass(frozen=True, slots=True)
class InputImage:
    """A picture to edit. ``prompt`` is what it was drawn from, where that is known.

    ``private`` where it is, and so is everything made from it; then there is no ``link``.
    """

    read: Callable[[], Awaitable[DecodedImage]]
    parent_id: str | None = None
    private: bool = False
    link: str | None = None
    prompt: str = ""


class InputImages:
    """Finds what a member means, and what they may see of it."""

    def __init__(
        self, client: discord.Client, database: Database, image_dir: Path, reader: ImageReader, retention_days: int
    ) -> None:
        self._client = client
        self._database = database
        self._image_dir = image_dir
        self._reader = reader
        self._retention_days = retention_days

    def attachment(self, invocation: Invocation, attachment: discord.Attachment, link: str | None = None) -> InputImage:
        """A picture that somebody attached."""
        return InputImage(partial(self._read_attachment, attachment, invocation.user.id), link=link)

    async def image(self, invocation: Invocation, image_id: str) -> InputImage:
        """One of our images."""
        row = await self.visible(invocation, image_id)
        await self._check_setting(invocation, row.owner_id, ours=True)
        return self.of_row(row, invocation.user.id)

    def of_row(self, row: ImageRow, member: int) -> InputImage:
        link = None if row.private else link_of(row)
        prompt = ImageSpec.from_json(row.spec).prompt
        return InputImage(partial(self.read_row, row, member), row.id, private=row.private, link=link, prompt=prompt)

    async def visible(self, invocation: Invocation, image_id: str) -> ImageRow:
        """The image, if this member may see it from here; :class:`Refusal` otherwise, whatever the reason."""
        row = await images.find(self._database, image_id)
        if row is not None and not row.owner_id:
            raise Refusal(self.why_gone(row))
        if row is None or not await self.may_see(invocation, row):
            raise Refusal(_NOT_YOURS)
        if row.deleted:
            raise Refusal(self.why_gone(row))
        return row

    def why_gone(self, row: ImageRow) -> str:
        """A sentence about an image that was deleted: by somebody, or for its age."""
        if not row.owner_id:
            return "This picture is no longer kept."
        if row.forgotten_at is None:
            return _GONE
        days = "a day" if self._retention_days == 1 else f"{self._retention_days} days"
        return (
            f"I keep pictures for {days}, and this one is older. What Discord still shows you can be saved and given "
            "to /edit or /details."
        )

    async def may_see(self, invocation: Invocation, row: ImageRow) -> bool:
        """The owner sees their images; others see public ones of this server, in channels that are open to them."""
        if row.owner_id == invocation.user.id:
            return True
        if row.private:
            return False
        if invocation.guild is None or row.guild_id != invocation.guild.id:
            return row.guild_id is None and invocation.guild is None and row.channel_id == invocation.channel_id
        where = row.result_channel_id or row.channel_id
        return where == invocation.channel_id or await _may_read(
            invocation, invocation.guild.get_channel_or_thread(where)
        )

    async def message(self, invocation: Invocation, message: discord.Message, which: int | None) -> InputImage:
        """The picture of a message: ours by its id, somebody's by its attachment."""
        rows = await images.of_message(self._database, message.id)
        if rows:
            row = rows[pick(len(rows), which)]
            if not await self.may_see(invocation, row):
                raise Refusal(_NOT_YOURS)
            await self._check_setting(invocation, row.owner_id, ours=True)
            return self.of_row(row, invocation.user.id)
        pictures = picture_attachments(message)
        if not pictures:
            raise Refusal(
                "I cannot see a picture in that message: right-click it → Apps → Edit image, or use /edit with its "
                "image option."
            )
        # A result that is no longer kept is still one that we drew.
        await self._check_setting(invocation, message.author.id, ours=message.author == self._client.user)
        chosen = pictures[pick(len(pictures), which)]
        if message.flags.ephemeral:  # shown to this member alone, and so is what is made from it
            return replace(self.attachment(invocation, chosen), private=True)
        return self.attachment(invocation, chosen, message.jump_url)

    async def named(self, invocation: Invocation, text: str, which: int | None) -> InputImage:
        """What the ``source`` option says: one of our images' ids (from the autocomplete) or a message's link."""
        if re.fullmatch(r"[0-9a-f]{12}", text.strip()):
            return await self.image(invocation, text.strip())
        link = _LINK.fullmatch(text.strip())
        if link is None:
            raise Refusal("Give the link of a message with a picture, or pick one of your own from the list.")
        here = str(invocation.guild.id) if invocation.guild is not None else "@me"
        rows = await images.of_message(self._database, int(link["id"]))
        if rows or link["guild"] != here:
            if not rows:
                raise Refusal("That message is not in this server; give the picture with the image option.")
            return await self.image(invocation, rows[pick(len(rows), which)].id)
        return await self.message(
            invocation, await self._fetch(invocation, int(link["channel"]), int(link["id"])), which
        )

    async def newest(self, invocation: Invocation) -> InputImage:
        """The member's newest result in this channel, else the channel's newest public one."""
        row = await images.newest_here(self._database, invocation.channel_id, invocation.user.id)
        if row is None:
            raise Refusal(NO_PICTURE)
        await self._check_setting(invocation, row.owner_id, ours=True)
        return self.of_row(row, invocation.user.id)

    async def read_row(self, row: ImageRow, member: int) -> DecodedImage:
        """The image's pixels: from its file, or from the message that shows it where the file is gone."""
        if row.file is not None:
            try:
                return await asyncio.to_thread(_open_own, self._image_dir / row.file)
            except OSError:
                pass  # the message may still have it
        return await self._reader.read(await self._bytes_from_message(row), member)

    async def file_of(self, row: ImageRow) -> bytes | None:
        """The image's file, None where it is gone."""
        if row.file is None:
            return None
        try:
            return await asyncio.to_thread((self._image_dir / row.file).read_bytes)
        except OSError:
            return None

    async def bytes_of(self, row: ImageRow) -> bytes:
        """The image's file, or what its message shows; :class:`Refusal` where both are gone."""
        return await self.file_of(row) or await self._bytes_from_message(row)

    async def _bytes_from_message(self, row: ImageRow) -> bytes:
        gone = Refusal(
            "This picture is no longer kept, and its message is gone: give it with the image option of /edit."
        )
        if row.result_channel_id is None or row.result_message_id is None:
            raise gone
        try:
            channel = self._client.get_partial_messageable(row.result_channel_id)
            message = await channel.fetch_message(row.result_message_id)
        except discord.HTTPException as error:
            raise gone from error
        named = [attachment for attachment in message.attachments if row.id in attachment.filename]
        if not named:
            raise gone
        return await fetch_attachment(named[0], self._reader.limit_bytes)

    async def _read_attachment(self, attachment: discord.Attachment, member: int) -> DecodedImage:
        return await self._reader.read(await fetch_attachment(attachment, self._reader.limit_bytes), member)

    async def _fetch(self, invocation: Invocation, channel_id: int, message_id: int) -> discord.Message:
        if channel_id != invocation.channel_id:
            channel = invocation.guild.get_channel_or_thread(channel_id) if invocation.guild is not None else None
            if not await _may_read(invocation, channel):
                raise Refusal(_NOT_YOURS)
        try:
            message = await self._client.get_partial_messageable(channel_id).fetch_message(message_id)
        except discord.HTTPException as error:
            raise Refusal("I cannot read that message; give the picture with the image option.") from error
        return message

    async def _check_setting(self, invocation: Invocation, owner_id: int, *, ours: bool) -> None:
        """The server says whose pictures may be edited."""
        setting = await read_setting(self._database, invocation.guild.id if invocation.guild else None, EDITABLE)
        if owner_id == invocation.user.id or setting in (None, "all"):
            return
        if setting == "own":
            raise Refusal("In this server everybody edits their own pictures only.")
        if not ours:
            raise Refusal("In this server only pictures that I drew can be edited.")


def link_of(row: ImageRow) -> str | None:
    """The link of the image's message; None before it is posted."""
    if row.result_channel_id is None or row.result_message_id is None:
        return None
    return message_link(row.guild_id, row.result_channel_id, row.result_message_id)


def picture_attachments(message: discord.Message) -> list[discord.Attachment]:
    """The attachments that may be pictures; what they really are their bytes will tell."""
    return [
        attachment
        for attachment in message.attachments
        if (attachment.content_type or "image/").startswith(("image/", "application/octet-stream"))
    ]


def pick(count: int, which: int | None) -> int:
    """The index of the picture that is meant; :class:`Refusal` where that is not said, or there are fewer."""
    if which is None and count > 1:
        raise Refusal(f"That message has {count} pictures: add --image 2, say, to pick the second one.")
    if not 1 <= (which or 1) <= count:
        raise Refusal(f"That message has {count} picture{'s' if count > 1 else ''}, not {which}.")
    return (which or 1) - 1


async def _may_read(invocation: Invocation, channel: discord.abc.GuildChannel | discord.Thread | None) -> bool:
    """Whether the member can scroll up there; a private thread is for those who are in it."""
    member = invocation.user
    if channel is None or not isinstance(member, discord.Member):
        return False
    granted = channel.permissions_for(member)
    if not (granted.read_messages and granted.read_message_history):
        return False
    if not isinstance(channel, discord.Thread) or not channel.is_private() or granted.manage_threads:
        return True
    try:
        await channel.fetch_member(member.id)
    except discord.HTTPException:
        return False
    return True


def _open_own(path: Path) -> DecodedImage:
    """One of our own PNGs, which need no child process to be read safely."""
    with Image.open(path) as picture:
        rgb = picture.convert("RGB")
    return DecodedImage(RawImage(rgb.width, rgb.height, rgb.tobytes()), None, {})
