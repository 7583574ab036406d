"""Details, comparisons and family trees of pictures, which cost no credits; and deleting pictures."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import discord
import structlog

from bot.commands.admin.context import AdminContext, has_audit
from bot.commands.chosen_options import ChosenOptions
from bot.commands.free_work import FreeWorkThrottle
from bot.commands.input_images import InputImages, link_of
from bot.commands.invocation import InteractionInvocation
from bot.commands.member_downloads import MemberDownloads
from bot.commands.private_menus import PrivateMenus
from bot.errors import Refusal
from bot.inert import utf16_length
from bot.jobs.service import JobService
from bot.media.files import remove_files
from bot.media.resizing import nearest_size
from bot.media.sheets import Relative, compare_sheet, family_sheet, nearest
from bot.media.untrusted_images import DecodedImage
from bot.moderation.access import Action
from bot.plurals import counted
from bot.requests.models import Models
from bot.requests.originals import Original, fit_original, keeping
from bot.requests.parameters import parameters_text
from bot.requests.spec import ImageSpec
from bot.requests.untrusted_parameters import read_spec
from bot.store import images
from bot.store.audit import Change
from bot.store.database import Database
from bot.store.images import ImageRow
from bot.views.results import delete_view, more_view, upload_view
from bot.views.text import MESSAGE_LIMIT, picture_alt_text, with_seeds

log = structlog.get_logger(__name__)

_AT_ONCE = 2
_MADE = {"imagine": "generated", "edit": "edited", "vary": "varied", "again": "generated again", "upscale": "upscaled"}
STILL_SHOWN = (
    "Deleted from my store. Discord still shows the message, which I cannot reach: dismiss or delete it yourself."
)


class Gallery:
    """Answers interactions about pictures. The caller has checked that the member may see them.

    ``throttle`` is the pause between two answers that show something.
    """

    def __init__(
        self,
        database: Database,
        jobs: JobService,
        input_images: InputImages,
        image_dir: Path,
        downloads: MemberDownloads,
        chosen: ChosenOptions,
        menus: PrivateMenus,
        admin: AdminContext,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._input_images = input_images
        self._image_dir = image_dir
        self._downloads = downloads
        self._chosen = chosen
        self._models = chosen.models
        self._menus = menus
        self._admin = admin
        self.throttle = FreeWorkThrottle()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def show_menu(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        """Show what can be done with one image besides drawing."""
        menu = await self._menu(interaction, row)
        await self._menus.show(interaction, f"What about this picture (seed {row.seed})?", menu)

    async def details(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        """Show everything needed to generate the image again."""
        self.throttle.check(interaction.user.id)
        spec = ImageSpec.from_json(row.spec).image(row.position)
        text, file = _copyable(parameters_text(spec, self._models.flag_of(spec)))
        text += await self._again_note(InteractionInvocation(interaction), spec)
        if (link := link_of(row)) is not None:
            text = f"{text}\n-# {_MADE.get(row.kind, row.kind)} by <@{row.owner_id}> · {link}"
        await self._menus.show(interaction, text, await self._menu(interaction, row), file)

    async def details_of_file(self, interaction: discord.Interaction[Any], attachment: discord.Attachment) -> None:
        """Show the parameters in a file's metadata, with Again and Edit. Raises :class:`Refusal` if it has none."""
        self.throttle.check(interaction.user.id)
        member_id = interaction.user.id
        requester = InteractionInvocation(interaction).requester
        await self._jobs.admission.check_place(requester)
        self._downloads.check_line(member_id)
        await interaction.response.defer(ephemeral=True)
        async with self._downloads.slot(member_id):
            await self._jobs.admission.check_place(requester)
            decoded = await self._downloads.read(attachment, member_id)
            spec = read_spec(decoded.text, self._models)
            upload_id = await self._keep_upload(member_id, decoded, spec, spoiler=attachment.is_spoiler())
        # An edit cannot be repeated from its file, which does not contain the original.
        view = upload_view(upload_id, again=spec.strength == 1.0)
        text, file = _copyable(parameters_text(spec, self._models.flag_of(spec)))
        text += await self._again_note(InteractionInvocation(interaction), spec)
        await interaction.followup.send(text, file=file or discord.utils.MISSING, view=view, ephemeral=True)

    async def _again_note(self, invocation: InteractionInvocation, spec: ImageSpec) -> str:
        """Return a line that says which model is used instead of the image's own; "" if that is used."""
        models = await self._chosen.models_for(invocation, spec.model, edit=bool(spec.original))
        return f"\n-# **Again** and **Edit** use {models.instead}" if models.instead else ""

    async def _keep_upload(self, member_id: int, decoded: DecodedImage, spec: ImageSpec, *, spoiler: bool) -> str:
        """Store a picture and what it was made from. Returns the upload's id."""
        upload_id, originals = secrets.token_hex(6), self._jobs.originals
        size = nearest_size(self._models.titled_or_default(spec.model), decoded.image.width, decoded.image.height)
        fitted = await asyncio.to_thread(fit_original, decoded, None, size, None)
        async with keeping(originals, Original(fitted.image)) as kept:
            dropped = await self._database.write(
                partial(
                    images.keep_upload,
                    upload_id=upload_id,
                    owner_id=member_id,
                    original=kept.image,
                    spec=spec.to_json(),
                    now=int(time.time()),
                    spoiler=spoiler,
                )
            )
            kept.needed = True
        await asyncio.to_thread(originals.drop, dropped)
        return upload_id

    def open_upload(self, original: str) -> DecodedImage:
        """Return the pixels of an uploaded picture. Blocks."""
        return DecodedImage(self._jobs.originals.load(original).image, None, {})

    async def compare(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        """Show an edit and its original side by side. Raises :class:`Refusal` if there is no original to show."""
        self.throttle.check(interaction.user.id)
        await self._menus.defer(interaction)
        async with self._slots:
            spec = ImageSpec.from_json(row.spec)
            before, caption = await self._before(InteractionInvocation(interaction), row, spec)
            after = await self._input_images.bytes_of(row)
            sheet = await asyncio.to_thread(compare_sheet, before, after, caption, spec.prompt)
            hidden = bool(row.spoiler)  # as the original is
            file = discord.File(BytesIO(sheet), "compare.png", description="Before and after", spoiler=hidden)
            await self._menus.show_deferred(interaction, "Before and after:", file, await self._menu(interaction, row))

    async def _before(self, invocation: InteractionInvocation, row: ImageRow, spec: ImageSpec) -> tuple[bytes, str]:
        """Return the original's bytes and a caption: its prompt if the bot generated it, else "original"."""
        parent = await images.find(self._database, row.parent_id) if row.parent_id else None
        await self._input_images.access.check(Action.COMPARE, invocation, row)
        if parent is not None and parent.deleted:
            became = "was deleted" if parent.forgotten_at is None else "is no longer kept"
            raise Refusal(f"The original {became}, so there is nothing to compare with.")
        if parent is not None:
            return await self._input_images.bytes_of(parent), ImageSpec.from_json(parent.spec).prompt
        if not spec.original:
            raise Refusal("This picture was made from a text alone, so there is nothing to compare it with.")
        return await asyncio.to_thread(self._jobs.originals.picture, spec.original), "original"

    async def tree(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        """Show the image's family as a sheet, without images that the member may not see."""
        self.throttle.check(interaction.user.id)
        await self._menus.defer(interaction)
        async with self._slots:
            invocation = InteractionInvocation(interaction)
            family = await images.family(self._database, row.id)
            kin = [each for each in family if await self._input_images.access.allows(Action.SEE, invocation, each)]
            # Chosen before any picture is opened, since that costs memory and hands it out.
            shown = nearest([_relative(each, self._models, marked=each.id == row.id) for each in kin])
            rows = {each.id: each for each in kin}
            drawn = [replace(each, picture=await self._input_images.thumbnail_of(rows[each.id])) for each in shown]
            sheet = await asyncio.to_thread(family_sheet, drawn, len(kin) - len(drawn))
            hidden = any(each.spoiler for each in kin)
            file = discord.File(BytesIO(sheet), "tree.png", description="The family of this picture", spoiler=hidden)
            text = "What this picture came from, and what came from it:"
            await self._menus.show_deferred(interaction, text, file, await self._menu(interaction, row))

    async def ask_delete(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        """Ask before deleting. Raises :class:`Refusal` if the member may not delete the image."""
        await self._check_delete(interaction, row)
        several = len(await images.of_job(self._database, row.job_id)) > 1
        text = "Delete this picture? What was made from it stays."
        await self._menus.show(interaction, text, delete_view(row.id, several=several))

    async def drop(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        """Delete one image from the database, from disk, and from its message."""
        await self._check_delete(interaction, row)
        await self._menus.defer(interaction)
        left = [each for each in await images.of_job(self._database, row.job_id) if each.id != row.id]
        await self._delete(interaction, [row])
        gone = await self._take_out(interaction, row, left)
        await self._menus.show_deferred(interaction, "Deleted." if gone else STILL_SHOWN)

    async def drop_all(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        """Delete every image of the message, and the message."""
        await self._check_delete(interaction, row)
        await self._menus.defer(interaction)
        gone = await self.remove_result(interaction, row)
        await self._menus.show_deferred(interaction, "Deleted." if gone else STILL_SHOWN)

    async def remove_result(self, interaction: discord.Interaction[Any], row: ImageRow) -> bool:
        """Delete every image of the message, and the message. Returns False if Discord still shows the message."""
        await self._delete(interaction, await images.of_job(self._database, row.job_id))
        return await self._take_out(interaction, row, [])

    async def messages_deleted(self, message_ids: Iterable[int]) -> None:
        """Delete the images of messages that were deleted in Discord."""
        files = await self._database.write(partial(images.delete_of_messages, message_ids=list(message_ids)))
        await asyncio.to_thread(remove_files, self._image_dir, files)

    async def _check_delete(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        await self._input_images.access.check(Action.DELETE, InteractionInvocation(interaction), row)

    async def _menu(self, interaction: discord.Interaction[Any], row: ImageRow) -> discord.ui.View:
        """Return the buttons of the menu about an image, which stay under each of its steps."""
        invocation, access = InteractionInvocation(interaction), self._input_images.access
        has_parent = row.parent_id is not None or bool(ImageSpec.from_json(row.spec).original)
        may_delete = await access.allows(Action.DELETE, invocation, row)
        return more_view(row.id, has_parent=has_parent, may_delete=may_delete)

    async def _delete(self, interaction: discord.Interaction[Any], rows: list[ImageRow]) -> None:
        """Delete images of one job from the database and from disk. What a moderator deletes is in the audit."""
        if not rows:
            return
        owner_id, files = rows[0].owner_id, list[str]()

        def delete(connection: sqlite3.Connection) -> Change:
            deleted = [images.delete(connection, image_id=row.id) for row in rows]
            files.extend(file for file in deleted if file is not None)
            target = f"<@{owner_id}>" if owner_id else ""
            return Change("moderate delete", target, counted(len(rows), "picture"), "deleted", owner_id or None)

        if interaction.user.id == owner_id or not has_audit(interaction):
            await self._database.write(delete)
        else:
            await self._admin.change(interaction, delete)
        await asyncio.to_thread(remove_files, self._image_dir, files)
        log.info("images_deleted", count=len(rows), job=rows[0].job_id)

    async def _take_out(self, interaction: discord.Interaction[Any], row: ImageRow, left: list[ImageRow]) -> bool:
        """Remove the picture from its message, or the message if no pictures are ``left``.

        Returns False if the message cannot be changed.
        """
        if row.result_channel_id is None or row.result_message_id is None:
            return True
        channel = interaction.client.get_partial_messageable(row.result_channel_id)
        try:
            message = await channel.fetch_message(row.result_message_id)
            if left:
                kept = [file for file in message.attachments if any(each.id in file.filename for each in left)]
                prompt = ImageSpec.from_json(row.spec).prompt
                for number, file in enumerate(kept, 1):
                    file.description = picture_alt_text(prompt, number, len(kept))
                await message.edit(attachments=kept, content=with_seeds(message.content, [each.seed for each in left]))
            else:
                await message.delete()
        except discord.NotFound:
            return not row.private  # a private result can be changed through its interaction alone, which has expired
        except discord.HTTPException as error:
            log.info("message_not_changed", job=row.job_id, code=error.code)
            return False
        return True


def _relative(row: ImageRow, models: Models, *, marked: bool) -> Relative:
    """Return what the family sheet says of an image, without its picture."""
    spec = ImageSpec.from_json(row.spec)
    strength = f" · strength {spec.strength:g}" if spec.original else ""
    model = f" · {spec.model}" if models.several else ""
    missing = "original deleted" if row.forgotten_at is None else "no longer kept"
    return Relative(row.id, row.parent_id, spec.prompt, f"{row.kind}{strength}{model}", None, marked, missing)


def _copyable(text: str) -> tuple[str, discord.File | None]:
    """Return a message with the text as a code block, or with a file if it is too long or would end the block."""
    if utf16_length(text) <= MESSAGE_LIMIT - 300 and "```" not in text:
        return f"```\n{text}\n```", None
    return "Everything needed to generate it again:", discord.File(BytesIO(text.encode()), "details.txt")
