"""The buttons under a refused, failed or cancelled request: to edit it, or to submit another in its place.

Their ``custom_id`` names a draft (``d``), or the job whose row has the request (``j``). They may be pressed by anybody
who sees the message; :class:`bot.views.parts.DraftHandler` lets only the request's owner go on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import discord

from bot.inert import cut
from bot.requests.refusals import Alternative
from bot.views.base import SafeDynamicItem, SafeView
from bot.views.parts import parts_of

ALTERNATIVES_MAX = 4
"""A row holds five buttons, and the first edits the request."""
_EDIT = "Edit request"
_LABEL_LIMIT = 80
_EDIT_ID = re.compile(r"zib:draft-edit:d(?P<draft>\d{1,18})\Z")


class DraftButton(
    SafeDynamicItem[discord.ui.Button[Any]],
    template=rf"zib:draft-(?P<what>edit|{'|'.join(str(number) for number in range(ALTERNATIVES_MAX))})"
    r":d(?P<draft>\d{1,18})\Z",
):
    """Opens the request form with a draft (``edit``), or submits the draft's alternative with this number, from 0."""

    def __init__(self, what: str, draft_id: int | str, label: str = _EDIT) -> None:
        self.what, self.draft_id = what, int(draft_id)
        style = discord.ButtonStyle.secondary if what == "edit" else discord.ButtonStyle.primary
        custom_id = f"zib:draft-{what}:d{draft_id}"
        super().__init__(discord.ui.Button(label=cut(label, _LABEL_LIMIT), style=style, custom_id=custom_id))

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        drafts = parts_of(interaction).drafts
        if self.what == "edit":
            await drafts.on_edit(interaction, self.draft_id)
        else:
            await drafts.on_alternative(interaction, self.draft_id, int(self.what))


class JobRequestButton(
    SafeDynamicItem[discord.ui.Button[Any]],
    template=r"zib:draft-edit:j(?P<job>\d{1,18})\Z",
):
    """Opens the request form with the request of a job that failed or was cancelled."""

    def __init__(self, job_id: int | str) -> None:
        self.job_id = int(job_id)
        super().__init__(discord.ui.Button(label=_EDIT, custom_id=f"zib:draft-edit:j{job_id}"))

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).drafts.on_job(interaction, self.job_id)


class TypedRequestButton(SafeDynamicItem[discord.ui.Button[Any]], template=r"zib:draft-edit:(?P<what>text)\Z"):
    """Opens the request form with the request that the message itself repeats: no row could be written for it."""

    def __init__(self, what: str = "text") -> None:
        super().__init__(discord.ui.Button(label=_EDIT, custom_id=f"zib:draft-edit:{what}"))

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).drafts.on_text(interaction)


DRAFT_ITEMS: tuple[type[SafeDynamicItem[Any]], ...] = (DraftButton, JobRequestButton, TypedRequestButton)


def draft_view(draft_id: int, alternatives: Sequence[Alternative] = ()) -> discord.ui.View:
    """Return the buttons of a draft: one for each alternative, and [Edit request]."""
    offered = [
        DraftButton(str(number), draft_id, alternative.label)
        for number, alternative in enumerate(alternatives[:ALTERNATIVES_MAX])
    ]
    return _view([*offered, DraftButton("edit", draft_id)])


def job_request_view(job_id: int) -> discord.ui.View:
    """Return [Edit request] for a job that ended without a result."""
    return _view([JobRequestButton(job_id)])


def typed_request_view() -> discord.ui.View:
    """Return [Edit request] for a request that only the message itself repeats."""
    return _view([TypedRequestButton()])


def remaining_view(message: discord.Message) -> discord.ui.View | None:
    """Return [Edit request] for the draft that a button under a message names; None if there is no such button."""
    for component in message.components:
        for child in component.children if isinstance(component, discord.ActionRow) else ():
            named = _EDIT_ID.match(getattr(child, "custom_id", None) or "")
            if named is not None:
                return draft_view(int(named["draft"]))
    return None


def _view(items: Sequence[SafeDynamicItem[Any]]) -> discord.ui.View:
    view = SafeView(timeout=None)
    for item in items:
        view.add_item(item)
    return view
