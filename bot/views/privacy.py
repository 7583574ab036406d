"""The texts and buttons of ``/privacy``, and the sender of exports."""

from __future__ import annotations

import asyncio
import time
from io import BytesIO
from typing import Any, Literal, get_args

import discord
import structlog

from bot.jobs.delivery import Undeliverable
from bot.jobs.upload_limits import FILE_LIMIT, REQUEST_LIMIT
from bot.plurals import counted
from bot.privacy.export_zip import split
from bot.privacy.privacy import Exported, Removed
from bot.views.base import SafeDynamicItem, SafeView
from bot.views.card_messages import NOT_SENT
from bot.views.discord_requests import reason_of
from bot.views.parts import parts_of

log = structlog.get_logger(__name__)

Choice = Literal["data", "all", "keep"]

ASK = (
    "Delete your data? Your prompts, pictures and settings go at once and cannot be restored; your waiting requests "
    "are cancelled. Posted messages stay in Discord unless you have them deleted, too. Limits, blocks and what you "
    "used in the last 24 hours stay."
)
_LABELS: dict[Choice, str] = {
    "data": "Delete my data",
    "all": "Delete my data and my posted pictures",
    "keep": "Keep everything",
}
_ANSWER_SECONDS = 14 * 60.0
"""Discord accepts answers for 15 minutes. The last of them is kept for the text that ends an export."""


class PrivacyButton(
    SafeDynamicItem[discord.ui.Button[Any]], template=rf"zib:privacy:(?P<what>{'|'.join(get_args(Choice))})\Z"
):
    """An answer to the question. Its ``custom_id`` names no member: it is about the one who presses it."""

    def __init__(self, what: str) -> None:
        self.what = what
        style = discord.ButtonStyle.secondary if what == "keep" else discord.ButtonStyle.danger
        label = _LABELS[what]  # type: ignore[index]  # the template lets nothing else in
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=f"zib:privacy:{what}"))

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).privacy.on_press(interaction, self.what)


def is_about_privacy(interaction: discord.Interaction[Any]) -> bool:
    """Return whether an interaction is part of ``/privacy``, which is served in all servers, also to former members."""
    data: Any = interaction.data or {}
    return data.get("name") == "privacy" or str(data.get("custom_id", "")).startswith("zib:privacy:")


def delete_view() -> discord.ui.View:
    view = SafeView(timeout=None)
    for what in _LABELS:
        view.add_item(PrivacyButton(what))
    return view


class DiscordExportSender:
    """Sends parts as private answers for as long as Discord accepts them, then as direct messages."""

    def __init__(self, interaction: discord.Interaction[Any]) -> None:
        self._interaction = interaction
        self._until = time.monotonic() + _ANSWER_SECONDS
        self._failed = False

    @property
    def limit(self) -> int:
        """The largest file in bytes that can be sent now."""
        return FILE_LIMIT if self._closed else min(self._interaction.filesize_limit, REQUEST_LIMIT)

    @property
    def _closed(self) -> bool:
        return self._failed or time.monotonic() >= self._until

    async def send(self, number: int, part: bytes) -> None:
        """Send a part. Raises :class:`Undeliverable` if neither way is open."""
        if not self._closed:
            try:
                await self._interaction.followup.send(file=_file(f"{number}", part), ephemeral=True)
            except NOT_SENT as error:
                log.info("export_by_direct_message", reason=reason_of(error))
                self._failed = True
            else:
                return
        pieces = split(part, FILE_LIMIT)
        count = 0
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            count += 1
            title = f"{number}" if count == 1 else f"{number}-{count}"
            await self._send_directly(file=_file(title, piece))

    async def say(self, text: str) -> None:
        """Send the text that ends an export, by any way that is open. A failure is logged."""
        try:
            if self._closed:
                await self._send_directly(content=text)
                return
        except Undeliverable:
            pass  # an answer may still be accepted: see _ANSWER_SECONDS
        try:
            await self._interaction.followup.send(text, ephemeral=True, suppress_embeds=True)
        except NOT_SENT as error:
            log.warning("export_end_not_told", user=self._interaction.user.id, reason=reason_of(error))

    async def _send_directly(self, **message: Any) -> None:
        try:
            await self._interaction.user.send(**message)
        except NOT_SENT as error:
            raise Undeliverable(reason_of(error)) from error


def info_text(retention_days: int, backup_days: int) -> str:
    """Return the text of ``/privacy info``; both periods are in days, ``backup_days`` is 0 if there are no backups."""
    backups = (
        f"The operator keeps backups for {_days(backup_days)}; what you delete is gone from them after that."
        if backup_days
        else "There are no backups."
    )
    return (
        "**What I store about you**\n"
        f"- Your prompts, your pictures, and pictures that you gave me to edit: for {_days(retention_days)}. Of older "
        "ones I keep only numbers: size, seed, steps, credits, when and where. If my disk gets too full, the oldest "
        "posted pictures go sooner; their messages stay.\n"
        "- Your `/settings`, until you change them, and what you used, as sums by day.\n"
        "- What admins set for you: limits, blocks, and the list of these changes.\n"
        "No names, no avatars, no other messages. Nothing is passed on, and no model is trained on it.\n"
        "**Who sees it**\n"
        "- A picture in a channel: whoever reads there, as long as the message exists. A private one: you alone.\n"
        "- Admins of a server: how much you used there, not your prompts. The operator of this bot: everything.\n"
        "**What you can do**\n"
        "- `/privacy export` sends you all of it, as ZIP files that you alone see.\n"
        "- `/privacy delete` removes prompts, pictures and settings at once, posted pictures too if you like. Limits, "
        "blocks and, for a day, what you used stay, or deleting would be a way around them; sums stay, not linked to "
        "you.\n"
        f"- {backups}"
    )


def exported_text(exported: Exported, first_job: int) -> str:
    """Return what the member is told when an export has ended; ``first_job`` is where it began."""
    missing = counted(exported.missing, "file was", "files were")
    lost = f" {missing} gone from disk or too large to send." if exported.missing else ""
    if exported.next_job is None:
        since = f" from job {first_job} on" if first_job > 1 else ""
        return f"This is everything I store about you{since}, in {counted(exported.parts, 'part', 'parts')}.{lost}"
    return (
        f"I could send {counted(exported.parts, 'part', 'parts')} only: Discord takes answers for 15 minutes, and your "
        "direct messages are closed to me. Allow direct messages in this server's privacy settings, then go on with "
        f"`/privacy export from_job:{exported.next_job}`.{lost}"
    )


def deleted_text(removed: Removed) -> str:
    """Return what the member is told once their data are deleted."""
    gone = []
    if removed.jobs:
        gone += [f"{counted(removed.jobs, 'prompt', 'prompts')} and {counted(removed.pictures, 'picture', 'pictures')}"]
    if removed.uploads:
        gone += [f"{counted(removed.uploads, 'picture', 'pictures')} that you gave to `/details`"]
    what = (
        f"{', '.join(gone)}, and your settings, are deleted."
        if gone
        else "Your settings are deleted; I kept no prompts and no pictures of yours."
    )
    if not removed.still_open:
        return what
    still = counted(removed.still_open, "request of yours is", "requests of yours are")
    return f"{what} {still} just ending and will be deleted after that."


def removed_text(deleted: int, unreachable: int, failed: int) -> str:
    """Return what the member is told of their posted pictures, counted in messages."""
    if not deleted and not unreachable and not failed:
        return "No posted pictures of yours were left."
    parts = [f"{counted(deleted, 'posted message', 'posted messages')} removed."]
    if unreachable:
        shown = counted(unreachable, "was", "were")
        parts.append(f"{shown} shown to you alone, out of my reach: dismiss what you still see.")
    if failed:
        parts.append(
            f"{counted(failed, 'message', 'messages')} could not be removed: I may not see the channel any more. Ask a "
            "moderator, or use `/privacy delete` again within a day."
        )
    return " ".join(parts)


def _file(title: str, data: bytes) -> discord.File:
    return discord.File(BytesIO(data), f"zimage-export-{title}.zip")


def _days(number: int) -> str:
    return counted(number, "day", "days")
