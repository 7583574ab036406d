"""What a moderator sees of a picture (right-click → Apps → Moderate), and its buttons."""

from __future__ import annotations

from typing import Any, Literal

import discord

from bot.store.images import ImageRow
from bot.views.base import SafeDynamicItem, SafeView
from bot.views.parts import parts_of

ModerationAction = Literal["delete", "block"]
_LABELS: dict[ModerationAction, str] = {"delete": "Delete", "block": "Block for a day"}


def moderation_text(rows: list[ImageRow], said: str = "") -> str:
    """Return who asked for the pictures of a message; ``said`` is what was just done."""
    first = rows[0]
    what = "This picture was" if len(rows) == 1 else f"These {len(rows)} pictures were"
    who = f"asked for by <@{first.owner_id}>" if first.owner_id else "asked for by somebody whose data was deleted"
    return f"{what} {who}." + (f"\n{said}" if said else "")


def moderation_view(row: ImageRow, *, deleted: bool = False) -> discord.ui.View:
    """Return the buttons that still make sense."""
    view = SafeView(timeout=None)
    if not deleted:
        view.add_item(ModerationButton("delete", row.job_id))
    if row.owner_id:
        view.add_item(ModerationButton("block", row.job_id))
    return view


class ModerationButton(
    SafeDynamicItem[discord.ui.Button[Any]],
    template=rf"zib:moderate-(?P<what>{'|'.join(_LABELS)}):j(?P<job>\d{{1,18}})\Z",
):
    """Deletes a job's pictures, or blocks who asked for them."""

    def __init__(self, what: ModerationAction, job_id: int | str) -> None:
        self.what: ModerationAction = what
        self.job_id = int(job_id)
        button: discord.ui.Button[Any] = discord.ui.Button(
            label=_LABELS[what], style=discord.ButtonStyle.danger, custom_id=f"zib:moderate-{what}:j{job_id}"
        )
        super().__init__(button)

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).moderate_menu.on_press(interaction, self.what, self.job_id)
