"""Finds the picture that a draft edits, and its mask, by the names of :mod:`bot.views.picture_references`."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import replace

import discord

from bot.commands.candidates import find_candidates
from bot.commands.input_images import NO_PICTURE, InputImage, InputImages
from bot.commands.invocation import Invocation
from bot.errors import Refusal
from bot.media.untrusted_images import DecodedImage
from bot.requests.drafts import Draft, repeated_options
from bot.requests.models import Models
from bot.requests.originals import OriginalFolder
from bot.requests.spec import ImageSpec
from bot.store import images
from bot.store.database import Database
from bot.store.images import ImageRow
from bot.store.job_rows import JobRow
from bot.views.ids import SNOWFLAKE
from bot.views.links import message_link
from bot.views.picture_references import (
    NEWEST,
    attachment_of,
    image_reference,
    original_of,
    original_reference,
    upload_reference,
)

_MESSAGE = re.compile(rf"(?P<channel>{SNOWFLAKE})-(?P<message>{SNOWFLAKE})")
_UNKNOWN = "Which picture? Give it here, or with /edit."


class DraftPictures:
    """Finds the pictures of drafts for a member, with the same checks as any edit."""

    def __init__(
        self, client: discord.Client, input_images: InputImages, database: Database, originals: OriginalFolder
    ) -> None:
        self._client = client
        self._input_images = input_images
        self._database = database
        self._originals = originals

    async def find(self, invocation: Invocation, reference: str, which: int | None = None) -> InputImage:
        """Return the picture with this name; ``which`` counts a message's pictures from 1.

        Raises :class:`Refusal` if it is gone, or the member may not see or edit it.
        """
        kind, rest = reference[:1], reference[1:]
        match kind:
            case "i":
                return await self._input_images.image(invocation, rest)
            case "a":
                return self._input_images.attachment(invocation, attachment_of(reference, self._client._connection))  # noqa: SLF001
            case "s":
                return await self._input_images.from_source_option(invocation, rest, which)
            case "m" if (message := _MESSAGE.fullmatch(rest)) is not None:
                guild_id = invocation.guild.id if invocation.guild is not None else None
                link = message_link(guild_id, int(message["channel"]), int(message["message"]))
                return await self._input_images.from_source_option(invocation, link, which)
            case "u":
                return await self._upload(invocation, rest)
            case "o" | "p":
                name, spoiler = original_of(rest)
                return await self._original(name, private=kind == "p", spoiler=spoiler)
        raise Refusal(_UNKNOWN)

    async def is_there(self, invocation: Invocation, reference: str) -> bool:
        """Return whether the form need not ask for the picture with this name: it is there, or the options may say."""
        try:
            if reference == NEWEST:
                await self.newest(invocation)
            elif reference[:1] not in ("a", "m", "s"):
                await self.find(invocation, reference)
        except Refusal:
            return False
        return True

    async def newest(self, invocation: Invocation, which: int | None = None) -> list[ImageRow]:
        """Return the pictures that an edit without one may mean; ``which`` is the picture's number in its message.

        Raises :class:`Refusal` if there is none.
        """
        candidates = await find_candidates(self._database, invocation)
        if not candidates:
            raise Refusal(NO_PICTURE)
        rows = [row for row in candidates if which is None or row.position == which - 1]
        if not rows:
            raise Refusal(f"None of the newest messages here has a picture {which}: leave `--image` out to choose one.")
        return rows

    async def of_job(self, invocation: Invocation, row: JobRow) -> tuple[str, str]:
        """Return the names of the picture that a job edited and of its mask: its parent if that can still be edited.

        Otherwise the picture is what the job kept of it, at the job's size. The member must be allowed to see the job.
        """
        spec = ImageSpec.from_json(row.spec)
        kept = original_reference(spec.original, private=row.visibility == "private", spoiler=row.spoiler)
        if spec.mask:
            return kept, original_reference(spec.mask)  # both have the job's size
        if row.parent_image_id is not None:
            with suppress(Refusal):
                await self._input_images.image(invocation, row.parent_image_id)
                return image_reference(row.parent_image_id), ""
        return kept, ""

    async def _upload(self, invocation: Invocation, upload_id: str) -> InputImage:
        upload = await images.find_upload(self._database, upload_id)
        if upload is None or upload.owner_id != invocation.user.id:
            raise Refusal("There is no such picture here.")
        found = await self._original(upload.original, spoiler=bool(upload.spoiler))
        return replace(found, reference=upload_reference(upload_id), model=ImageSpec.from_json(upload.spec).model)

    async def _original(self, name: str, *, private: bool = False, spoiler: bool = False) -> InputImage:
        await asyncio.to_thread(self._originals.check, name)

        async def read() -> DecodedImage:
            original = await asyncio.to_thread(self._originals.load, name)
            return DecodedImage(original.image, None, {})

        reference = original_reference(name, private=private, spoiler=spoiler)
        return InputImage(read, private=private, reference=reference, spoiler=spoiler)


def draft_of_spec(spec: ImageSpec, models: Models, *, private: bool, spoiler: bool = False) -> Draft:
    """Return the draft of a request for a spec, from another seed."""
    picture = original_reference(spec.original, private=private, spoiler=spoiler) if spec.original else None
    mask = original_reference(spec.mask) if spec.mask else ""
    return Draft.of(repeated_options(spec, models), private=private or None, picture=picture, mask=mask)
