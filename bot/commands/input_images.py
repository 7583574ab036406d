"""Finds the picture to edit: one of the bot's images, an attachment, or a message's picture."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path

import discord
from PIL import Image

from bot.commands.invocation import Invocation
from bot.commands.member_downloads import MemberDownloads
from bot.commands.picture_access import PictureAccess
from bot.errors import Refusal
from bot.media.thumbnails import add_thumbnail, read_thumbnail
from bot.media.untrusted_images import DecodedImage
from bot.moderation.access import Action, Verdict
from bot.plurals import counted
from bot.requests.spec import ImageSpec
from bot.store import images
from bot.store.database import Database
from bot.store.guild_settings import SPOILER, read_setting
from bot.store.images import ImageRow
from bot.views.downloads import fetch_attachment
from bot.views.links import message_link, parse_message_link
from bot.views.picture_references import attachment_reference, image_reference
from zimage_engine.types import RawImage

NO_PICTURE = (
    "I see no picture to edit: reply to one of mine with `edit: …`, right-click any picture (on a phone: hold it) → "
    "Apps → **Edit image**, or give one to `/edit` as `image`."
)


@dataclass(frozen=True, slots=True)
class InputImage:
    """A picture to edit; ``read`` returns its pixels.

    ``parent_id`` is its id if it is one of the bot's images. ``prompt`` is empty if it is not known, and so is
    ``model``, the title of what made it. What is made from
    a ``private`` picture is private too; such a picture has no ``link`` to its message.

    ``note`` tells on the card which picture it is if the member did not name one; ``thumbnail`` makes a file of it.
    ``reference`` finds the picture again for a draft: see :mod:`bot.views.picture_references`. What is made from a
    ``spoiler``, which is hidden until somebody clicks, is one too.
    """

    read: Callable[[], Awaitable[DecodedImage]]
    parent_id: str | None = None
    private: bool = False
    link: str | None = None
    prompt: str = ""
    note: str = ""
    thumbnail: Callable[[], discord.File] | None = None
    reference: str = ""
    spoiler: bool = False
    model: str = ""


class InputImages:
    """Finds pictures; ``access`` decides who may see and edit them."""

    def __init__(
        self,
        client: discord.Client,
        database: Database,
        image_dir: Path,
        downloads: MemberDownloads,
        access: PictureAccess,
    ) -> None:
        self._client = client
        self._database = database
        self._image_dir = image_dir
        self._downloads = downloads
        self._reader = downloads.reader
        self._opening = asyncio.Lock()
        self.access = access

    def attachment(self, invocation: Invocation, attachment: discord.Attachment, link: str | None = None) -> InputImage:
        """Return an attachment as input image; ``link`` leads to its message."""
        read = partial(self._downloads.read, attachment, invocation.user.id)
        return InputImage(read, link=link, reference=attachment_reference(attachment), spoiler=attachment.is_spoiler())

    async def image(self, invocation: Invocation, image_id: str) -> InputImage:
        """Return one of the bot's images by its id.

        Raises :class:`Refusal` if the member may not see or edit it.
        """
        row = await self.access.visible_row(invocation, image_id)
        await self.access.check(Action.EDIT, invocation, row)
        return self.of_row(row, invocation.user.id)

    def of_row(self, row: ImageRow, member: int) -> InputImage:
        """Return one of the bot's images without any checks."""
        link = None if row.private else link_of(row)
        spec = ImageSpec.from_json(row.spec)
        return InputImage(
            partial(self.read_row, row, member),
            row.id,
            private=row.private,
            link=link,
            prompt=spec.prompt,
            reference=image_reference(row.id),
            spoiler=bool(row.spoiler),
            model=spec.model,
        )

    async def message(self, invocation: Invocation, message: discord.Message, which: int | None) -> InputImage:
        """Return the picture of a message: one of the bot's images, or an attachment.

        ``which`` counts from 1. Raises :class:`Refusal` if there is no such picture, or the member may not edit it.
        """
        rows = await images.of_message(self._database, message.id)
        if rows:
            row = rows[pick(len(rows), which)]
            await self.access.check(Action.EDIT, invocation, row)
            return self.of_row(row, invocation.user.id)
        pictures = picture_attachments(message)
        if not pictures:
            raise Refusal(
                "I see no picture in that message: right-click it (on a phone: hold it) → Apps → **Edit image**, or "
                "give the picture to `/edit` as `image`."
            )
        # A result that the database no longer has is still the bot's.
        await self.access.check_message(Action.EDIT, invocation, message)
        chosen = pictures[pick(len(pictures), which)]
        if message.flags.ephemeral:  # only this member sees it
            return replace(self.attachment(invocation, chosen), private=True)
        return self.attachment(invocation, chosen, message.jump_url)

    async def from_source_option(self, invocation: Invocation, text: str, which: int | None) -> InputImage:
        """Return what the ``source`` option names: an image id, which the autocomplete offers, or a message's link.

        Raises :class:`Refusal` if it is neither, not found, or not for the member to edit.
        """
        if is_image_id(text):
            return await self.image(invocation, text.strip())
        link = parse_message_link(text)
        if link is None:
            raise Refusal("Give the link of a message with a picture, or pick one of your own from the list.")
        rows = await images.of_message(self._database, link.message_id)
        if rows:
            return await self.image(invocation, rows[pick(len(rows), which)].id)
        if link.guild_id != (invocation.guild.id if invocation.guild is not None else None):
            raise Refusal("That message is not in this server: give the picture to `/edit` as `image`.")
        return await self.message(invocation, await self._fetch(invocation, link.channel_id, link.message_id), which)

    async def rows_of_link(self, invocation: Invocation, text: str) -> list[ImageRow]:
        """Return the bot's images in the message that the text links; none if it is no such link.

        Raises :class:`Refusal` if the member may not see or edit them.
        """
        link = parse_message_link(text)
        rows = await images.of_message(self._database, link.message_id) if link is not None else []
        if rows:
            await self.image(invocation, rows[0].id)  # those of one message are of one job: all of them, or none
        return rows

    async def guessed(self, invocation: Invocation, row: ImageRow) -> InputImage:
        """Return an image that the member may see and edit, and did not name: its card shows which one it is."""
        own = row.owner_id == invocation.user.id
        which = f"your newest one here (seed {row.seed})" if own else f"the newest one here (seed {row.seed})"
        note, small = f"No picture was named: this is {which}.", await self.thumbnail_of(row)
        if small is None:
            return replace(self.of_row(row, invocation.user.id), note=note)
        spoiler = bool(row.spoiler) or await read_setting(self._database, row.guild_id, SPOILER) == "on"
        make_file = partial(_thumbnail_file, small, spoiler=spoiler)
        return replace(self.of_row(row, invocation.user.id), note=note, thumbnail=make_file)

    async def read_row(self, row: ImageRow, member: int) -> DecodedImage:
        """Return the image's pixels, from its file or else from its message."""
        file = await images.handed_out(self._database, row, int(time.time()))
        with suppress(OSError):  # the file is gone; the message may still have it
            if file is not None:
                return await asyncio.to_thread(_open_own, self._image_dir / file)
        return await self._reader.read(await self._bytes_from_message(row), member)

    async def file_of(self, row: ImageRow) -> bytes | None:
        """Return the bytes of the image's file. None if it is gone."""
        file = await images.handed_out(self._database, row, int(time.time()))
        with suppress(OSError):
            return await asyncio.to_thread((self._image_dir / file).read_bytes) if file is not None else None
        return None

    async def thumbnail_of(self, row: ImageRow) -> bytes | None:
        """Return a small copy of the image, as WebP. None if the image's file is gone.

        It was made when the image was rendered, or is made now: one image at a time is opened for that.
        """
        file = await images.handed_out(self._database, row, int(time.time()))
        if file is None:
            return None
        path = self._image_dir / file
        if (kept := await asyncio.to_thread(read_thumbnail, path)) is not None:
            return kept
        with suppress(OSError):
            async with self._opening:
                return await asyncio.to_thread(add_thumbnail, path)
        return None

    async def bytes_of(self, row: ImageRow) -> bytes:
        """Return the image's bytes, from its file or its message. Raises :class:`Refusal` if both are gone."""
        return await self.file_of(row) or await self._bytes_from_message(row)

    async def _bytes_from_message(self, row: ImageRow) -> bytes:
        gone = Refusal("This picture is no longer kept, and its message is gone: give it to `/edit` as `image`.")
        if row.result_channel_id is None or row.result_message_id is None:
            raise gone
        try:
            channel = self._client.get_partial_messageable(row.result_channel_id)
            message = await channel.fetch_message(row.result_message_id)
        except discord.HTTPException as error:
            raise gone from error
        from_source_option = [attachment for attachment in message.attachments if row.id in attachment.filename]
        if not from_source_option:
            raise gone
        return await fetch_attachment(from_source_option[0], self._reader.limit_bytes)

    async def _fetch(self, invocation: Invocation, channel_id: int, message_id: int) -> discord.Message:
        if not (await self.access.place(invocation, channel_id)).reads:
            raise Refusal(Verdict.NOT_FOUND.value)
        try:
            message = await self._client.get_partial_messageable(channel_id).fetch_message(message_id)
        except discord.HTTPException as error:
            raise Refusal("I may not read that message: give the picture to `/edit` as `image`.") from error
        return message


def is_image_id(text: str) -> bool:
    """Return whether a text has the form of an image's id, as the autocomplete gives it."""
    return re.fullmatch(r"[0-9a-f]{12}", text.strip()) is not None


def link_of(row: ImageRow) -> str | None:
    """Return the link of the image's message. None before it is posted, and once the image is deleted."""
    if row.deleted or row.result_channel_id is None or row.result_message_id is None:
        return None
    return message_link(row.guild_id, row.result_channel_id, row.result_message_id)


def picture_attachments(message: discord.Message) -> list[discord.Attachment]:
    """Return the attachments whose content type may be a picture's. Their bytes are checked when they are read."""
    return [
        attachment
        for attachment in message.attachments
        if (attachment.content_type or "image/").startswith(("image/", "application/octet-stream"))
    ]


def pick(count: int, which: int | None) -> int:
    """Return the index, from 0, of picture ``which``, from 1, among ``count``.

    Raises :class:`Refusal` if there are fewer, or if ``which`` is None and there are several.
    """
    if which is None and count > 1:
        raise Refusal(f"That message has {count} pictures: add `--image 2`, for example, for the second one.")
    if not 1 <= (which or 1) <= count:
        raise Refusal(f"That message has {counted(count, 'picture')}, not {which}.")
    return (which or 1) - 1


def _thumbnail_file(data: bytes, *, spoiler: bool) -> discord.File:
    return discord.File(BytesIO(data), "picture.webp", description="The picture that is changed", spoiler=spoiler)


def _open_own(path: Path) -> DecodedImage:
    """Return the pixels of one of the bot's own PNGs, which are trusted, so no child process decodes them."""
    with Image.open(path) as picture:
        rgb = picture.convert("RGB")
    return DecodedImage(RawImage(rgb.width, rgb.height, rgb.tobytes()), None, {})
