"""The question which of several pictures an edit is about: private, with numbered thumbnails.

:class:`bot.commands.edit_requests.EditRequests` handles the answer, for as long as the draft of the edit is kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import discord
import structlog

from bot.commands.input_images import InputImages
from bot.commands.invocation import Invocation
from bot.inert import cut
from bot.media.contact_sheets import Contact, contact_sheet
from bot.requests.drafts import Draft
from bot.requests.spec import ImageSpec
from bot.store.database import Database
from bot.store.guild_settings import SPOILER, read_setting
from bot.store.images import ImageRow
from bot.views.card_messages import NOT_SENT, CardMessage, remove
from bot.views.discord_requests import reason_of
from bot.views.picture_picker import picker_text, picker_view
from bot.views.text import ALT_TEXT_LIMIT

log = structlog.get_logger(__name__)

_MAX = 500


class PicturePickers:
    """Asks the questions. Remembers the last one of each of the last 500 members, to remove its message.

    A message can be removed for as long as its interaction lasts, which is 15 minutes.
    """

    def __init__(self, input_images: InputImages, database: Database) -> None:
        self._input_images = input_images
        self._database = database
        self._asked: OrderedDict[int, CardMessage] = OrderedDict()

    async def ask(self, invocation: Invocation, draft_id: int, draft: Draft, rows: Sequence[ImageRow]) -> None:
        """Ask which of the images is meant, and show them; the member's older question is removed.

        Raises what discord.py raises.
        """
        view = picker_view(draft_id, [row.id for row in rows])
        card_message = await invocation.ask(picker_text(draft.typed), view)
        older = self._asked.pop(invocation.user.id, None)
        self._asked[invocation.user.id] = card_message
        while len(self._asked) > _MAX:
            self._asked.popitem(last=False)
        if older is not None:
            await remove(older)
        try:
            await card_message.edit(attachments=[await self._sheet(invocation, rows)])
        except NOT_SENT as error:  # the numbers can be pressed without it
            log.info("contact_sheet_not_shown", reason=reason_of(error))

    async def close(self, interaction: discord.Interaction[Any]) -> None:
        """Remove the question that the interaction answers: by its button, or by the form that this opened."""
        asked = self._asked.get(interaction.user.id)
        if asked is not None and interaction.message is not None and asked.message_id == interaction.message.id:
            del self._asked[interaction.user.id]
            await remove(asked)

    async def _sheet(self, invocation: Invocation, rows: Sequence[ImageRow]) -> discord.File:
        captions = [f"seed {row.seed} · {ImageSpec.from_json(row.spec).prompt}" for row in rows]
        pictures = [await self._input_images.thumbnail_of(row) for row in rows]
        contacts = [Contact(caption, picture) for caption, picture in zip(captions, pictures, strict=True)]
        sheet = await asyncio.to_thread(contact_sheet, contacts)
        described = "; ".join(f"{number}: {cut(caption, 100)}" for number, caption in enumerate(captions, 1))
        guild_id = invocation.guild.id if invocation.guild is not None else None
        hidden = any(row.spoiler for row in rows)
        spoiler = hidden or await read_setting(self._database, guild_id, SPOILER) == "on"
        return discord.File(BytesIO(sheet), "which.png", description=cut(described, ALT_TEXT_LIMIT), spoiler=spoiler)
