"""What an admin sees of a member (right-click → Apps → Limits), its buttons, and the forms that they open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import discord

from bot.inert import cut
from bot.moderation.limit_texts import format_value
from bot.store.admission import QuotaState, Terms
from bot.store.limits import LIMITS, LimitName
from bot.store.moderation import Block
from bot.views.audit import quoted
from bot.views.base import SafeDynamicItem, SafeModal, SafeView
from bot.views.ids import SNOWFLAKE
from bot.views.moderation import block_end
from bot.views.parts import parts_of
from bot.views.quota import quota_text
from bot.views.text import MESSAGE_LIMIT

MemberAction = Literal["limits", "reset", "block", "unblock"]
REASON_LIMIT = 200

_LABELS: dict[MemberAction, str] = {
    "limits": "Change limits",
    "reset": "Reset credits",
    "block": "Block",
    "unblock": "Unblock",
}
_VALUE_LENGTH_MAX = 20


def member_text(member_id: int, quota_state: QuotaState, terms: Terms, block: Block | None, said: str = "") -> str:
    """Return a member's use and limits, and whether they are blocked; ``said`` is what was just done."""
    lines = [
        f"**<@{member_id}> in this server**",
        *quota_text(quota_state, terms, direct=False, own=False).splitlines()[1:],
    ]
    if block is not None:
        reason = f": {quoted(block.reason, REASON_LIMIT)}" if block.reason else ""
        lines.append(f"**Blocked** {block_end(block)}{reason}")
    if said:
        lines.append(said)
    return cut("\n".join(lines), MESSAGE_LIMIT)


def member_view(member_id: int, *, blocked: bool) -> discord.ui.View:
    """Return the buttons."""
    whats: list[MemberAction] = ["limits", "reset", "unblock" if blocked else "block"]
    view = SafeView(timeout=None)
    for what in whats:
        view.add_item(MemberButton(what, member_id))
    return view


class MemberButton(
    SafeDynamicItem[discord.ui.Button[Any]],
    template=rf"zib:member-(?P<what>{'|'.join(_LABELS)}):m(?P<member>{SNOWFLAKE})\Z",
):
    """Does something with a member in the server where it is pressed."""

    def __init__(self, what: MemberAction, member_id: int | str) -> None:
        self.what: MemberAction = what
        self.member_id = int(member_id)
        style = discord.ButtonStyle.danger if what == "block" else discord.ButtonStyle.secondary
        super().__init__(
            discord.ui.Button(label=_LABELS[what], style=style, custom_id=f"zib:member-{what}:m{member_id}")
        )

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).member_menu.on_press(interaction, self.what, self.member_id)


class LimitsModal(SafeModal):
    """Asks for a member's limits. The fields hold what is in force; ``submit`` is called with those that changed.

    An empty text takes the member's own limit away.
    """

    def __init__(
        self,
        quota_state: QuotaState,
        submit: Callable[[discord.Interaction[Any], Mapping[LimitName, str]], Awaitable[None]],
    ) -> None:
        super().__init__(title="Limits of this member")
        self._submit = submit
        self._fields: dict[LimitName, tuple[str, discord.ui.TextInput[Any]]] = {}
        for name, kind in LIMITS.items():
            now = format_value(name, quota_state.limits[name].value)
            field: discord.ui.TextInput[Any] = discord.ui.TextInput(
                default=now, max_length=_VALUE_LENGTH_MAX, required=False, custom_id=name
            )
            self._fields[name] = (now, field)
            self.add_item(discord.ui.Label(text=kind.title[:45], description=kind.meaning[:100], component=field))

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        typed = {name: field.value.strip() for name, (now, field) in self._fields.items() if field.value.strip() != now}
        await self._submit(interaction, typed)


class BlockModal(SafeModal):
    """Asks how long to block a member, and why. ``submit`` is called with both, as they were typed."""

    def __init__(self, submit: Callable[[discord.Interaction[Any], str, str], Awaitable[None]]) -> None:
        super().__init__(title="Block this member")
        self._submit = submit
        self._period: discord.ui.TextInput[Any] = discord.ui.TextInput(
            placeholder="for good", max_length=20, required=False, custom_id="for"
        )
        self._reason: discord.ui.TextInput[Any] = discord.ui.TextInput(
            max_length=REASON_LIMIT, required=False, custom_id="reason"
        )
        self.add_item(discord.ui.Label(text="How long, like 12h or 7d", component=self._period))
        self.add_item(discord.ui.Label(text="Why", description="The member sees it.", component=self._reason))

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        await self._submit(interaction, self._period.value.strip(), self._reason.value.strip())
