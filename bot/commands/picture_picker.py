"""Asks a member which picture an edit is about, before anything is charged.

The open questions are kept in memory for twelve minutes, with the edit that each is about. A question that is over
still shows the prompt.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import discord
import structlog
from discord.ext import commands

from bot.commands.input_images import InputImages
from bot.commands.invocation import Invocation
from bot.commands.parts import BotParts
from bot.commands.pending_edits import PendingEdit, PendingEdits
from bot.commands.submission import Submission
from bot.errors import Refusal
from bot.media.contact_sheets import Contact, contact_sheet
from bot.requests.spec import ImageSpec
from bot.store.database import Database
from bot.store.guild_settings import SPOILER, read_setting
from bot.store.images import ImageRow
from bot.views.card_messages import NOT_SENT, CardMessage, remove
from bot.views.picture_picker import PickButton, expired_text, picker_text, picker_view
from bot.views.text import ALT_TEXT_LIMIT, cut

log = structlog.get_logger(__name__)

_SECONDS = 12 * 60
_MAX = 200
"""The most questions open at once; each holds an edit's options, and no pixels."""


@dataclass(slots=True)
class _Question:
    """An open question. ``answered`` while the edit of a chosen picture is submitted: further presses do nothing."""

    invocation: Invocation
    pending: PendingEdit
    card_message: CardMessage
    timer: asyncio.TimerHandle
    answered: bool = False


class PicturePickers:
    """The open questions, at most one for each member: a new one replaces the old."""

    def __init__(
        self, submission: Submission, input_images: InputImages, pending_edits: PendingEdits, database: Database
    ) -> None:
        self._submission = submission
        self._input_images = input_images
        self._pending_edits = pending_edits
        self._database = database
        self._open: OrderedDict[str, _Question] = OrderedDict()
        self._ending: set[asyncio.Task[None]] = set()

    async def ask(self, invocation: Invocation, pending: PendingEdit, rows: Sequence[ImageRow]) -> None:
        """Ask privately which of the images is meant, and show them. Raises what discord.py raises."""
        picker_id = secrets.token_hex(6)
        view = picker_view(picker_id, [row.id for row in rows])
        card_message = await invocation.ask(picker_text(pending.edit.options.prompt), view)
        self.drop_of(invocation.user.id)
        while len(self._open) >= _MAX:
            self._expire(next(iter(self._open)))
        timer = asyncio.get_running_loop().call_later(_SECONDS, self._expire, picker_id)
        self._open[picker_id] = _Question(invocation, pending, card_message, timer)
        try:
            await card_message.edit(attachments=[await self._sheet(invocation, rows)])
        except NOT_SENT as error:  # the numbers can be pressed without it
            log.info("contact_sheet_not_shown", reason=str(error))

    def drop_of(self, member_id: int) -> None:
        """Remove a member's open question, with the edit that it is about."""
        for picker_id, question in list(self._open.items()):
            if question.invocation.user.id == member_id:
                self._take(picker_id)
                self._start(remove(question.card_message))

    async def on_pick(self, interaction: discord.Interaction[Any], picker_id: str, image_id: str | None) -> None:
        """Edit the image that was chosen, or end the question if none was.

        Raises :class:`Refusal` if somebody else was asked, or the image cannot be edited; the question stays open then.
        """
        question = self._open.get(picker_id)
        if question is None:  # it has expired, or was asked before a restart
            await interaction.response.edit_message(content=_over(interaction), view=None, attachments=[])
            return
        if question.invocation.user.id != interaction.user.id:
            raise Refusal("Only the member who was asked can answer this.")
        if question.answered:
            await interaction.response.defer()
            return
        if image_id is None:
            self._take(picker_id)
            await interaction.response.defer()
            await remove(question.card_message)
            return
        invocation = await question.invocation.answered_by(interaction)
        input_image = await self._input_images.image(invocation, image_id)
        pending = question.pending.with_image(input_image)
        if not pending.has_prompt:
            await self._pending_edits.ask_for_prompt(interaction, pending)
            return
        question.answered = True
        try:
            await self._submission.edit(invocation, pending.edit, input_image, private=pending.private)
        except Exception:
            question.answered = False  # another of the pictures may do
            raise
        self._take(picker_id)
        await remove(question.card_message)

    async def close(self, interaction: discord.Interaction[Any]) -> None:
        """Remove the question from which the interaction's modal was opened, if it was."""
        if interaction.message is None:
            return
        for picker_id, question in list(self._open.items()):
            if question.card_message.message_id == interaction.message.id:
                self._take(picker_id)
                await remove(question.card_message)

    async def _sheet(self, invocation: Invocation, rows: Sequence[ImageRow]) -> discord.File:
        captions = [f"seed {row.seed} · {ImageSpec.from_json(row.spec).prompt}" for row in rows]
        pictures = [await self._input_images.file_of(row) for row in rows]
        contacts = [Contact(caption, picture) for caption, picture in zip(captions, pictures, strict=True)]
        sheet = await asyncio.to_thread(contact_sheet, contacts)
        described = "; ".join(f"{number}: {cut(caption, 100)}" for number, caption in enumerate(captions, 1))
        guild_id = invocation.guild.id if invocation.guild is not None else None
        spoiler = await read_setting(self._database, guild_id, SPOILER) == "on"
        return discord.File(BytesIO(sheet), "which.png", description=cut(described, ALT_TEXT_LIMIT), spoiler=spoiler)

    def _take(self, picker_id: str) -> None:
        question = self._open.pop(picker_id, None)
        if question is not None:
            question.timer.cancel()

    def _expire(self, picker_id: str) -> None:
        """End an unanswered question; its message keeps the prompt."""
        question = self._open[picker_id]
        self._take(picker_id)
        if question.answered:
            return
        text = expired_text(question.pending.edit.options.prompt)
        self._start(_end(question.card_message, text))

    def _start(self, ending: Any) -> None:
        task = asyncio.create_task(ending, name="picture-picker")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _end(card_message: CardMessage, text: str) -> None:
    try:
        await card_message.edit(content=text, view=None, attachments=[])
    except NOT_SENT as error:
        log.info("question_not_ended", reason=str(error))


def _over(interaction: discord.Interaction[Any]) -> str:
    """Return what the message of a question becomes that is over: the same with the prompt that it shows."""
    shown = interaction.message.content if interaction.message is not None else ""
    prompt = shown.split("\n")[1] if shown.count("\n") > 1 else ""
    return "\n".join(filter(None, (expired_text(""), prompt)))


def add_to(bot: commands.Bot, parts: BotParts) -> None:
    """Add the buttons of the question."""
    del parts  # they find it through the interaction
    bot.add_dynamic_items(PickButton)
