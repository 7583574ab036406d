"""Lists in pages, with Back and Next. A page is read from the database when its button is pressed.

Each list is a subclass of :class:`PageButton`. Its ``custom_id`` has only the page's number: the server is the one in
which the button is pressed, by a member who must be an admin at that time, or an owner for an owner's list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import discord

from bot.errors import Refusal
from bot.inert import utf16_length
from bot.store.database import Database
from bot.views.base import SafeDynamicItem, SafeView
from bot.views.parts import parts_of
from bot.views.private_messages import edit_private
from bot.views.text import MESSAGE_LIMIT

EntryT = TypeVar("EntryT")
_HEADING_ROOM = 140
_LENGTHS = (120, 80, 50, 32, 20, 12, 8)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. ``number`` counts from 0; ``total`` is the number of entries on all pages."""

    heading: str
    lines: list[str]
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class Place:
    """Which entries are on page ``number``: the ``count`` entries after the first ``skip``."""

    number: int
    skip: int
    count: int


def page_template(name: str) -> str:
    """Return the pattern for the ``custom_id`` of a list's buttons."""
    return rf"zib:{name}:(?P<page>\d{{1,9}})\Z"


class PageButton(SafeDynamicItem[discord.ui.Button[Any]], template=r"never-used-page"):
    """A button that shows a page of a list. Subclasses say the list's ``name``, its page length and how to read it."""

    name: ClassVar[str]
    entries_per_page: ClassVar[int] = 10

    def __init__(self, page: int | str, label: str = "Page") -> None:
        self.page = int(page)
        button: discord.ui.Button[Any] = discord.ui.Button(label=label, custom_id=f"zib:{self.name}:{self.page}")
        super().__init__(button)

    @classmethod
    async def read(cls, database: Database, guild: discord.Guild, number: int) -> Page:
        """Return page ``number`` of a server's list, or the last page if there are fewer."""
        raise NotImplementedError

    @classmethod
    def place(cls, number: int, total: int) -> Place:
        """Return which of ``total`` entries are on page ``number``, or on the last page if there are fewer."""
        number = min(number, max(0, total - 1) // cls.entries_per_page)
        return Place(number, number * cls.entries_per_page, cls.entries_per_page)

    @classmethod
    async def show(cls, interaction: discord.Interaction[Any], number: int = 0) -> None:
        """Answer the admin privately with a page; if a button was pressed, in place of the page that has it.

        Raises :class:`Refusal` outside of servers.
        """
        if interaction.guild is None:
            raise Refusal("This works in servers only.")
        page = await cls.read(parts_of(interaction).admin.database, interaction.guild, number)
        pages = max(1, -(-page.total // cls.entries_per_page))
        where = f" · page {page.number + 1} of {pages}" if pages > 1 else ""
        text = "\n".join([f"{page.heading}{where}", *page.lines])
        view = SafeView(timeout=None)
        if page.number > 0:
            view.add_item(cls(page.number - 1, "Back"))
        if page.number < pages - 1:
            view.add_item(cls(page.number + 1, "Next"))
        if interaction.type is discord.InteractionType.component:
            await edit_private(interaction, content=text, view=view, suppress_embeds=True)
        else:
            await interaction.response.send_message(text, view=view, ephemeral=True, suppress_embeds=True)

    @classmethod
    async def check(cls, interaction: discord.Interaction[Any]) -> None:
        """Raise :class:`Refusal` if the list is not for whoever presses the button."""
        await parts_of(interaction).admin.check_admin(interaction)

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await self.check(interaction)
        await self.show(interaction, self.page)


def fit(entries: Sequence[EntryT], line: Callable[[EntryT, int], str]) -> list[str]:
    """Return a line for each entry, together short enough for a message.

    ``line`` takes an entry and the most characters that each free text in it may have. If all lines together are too
    long, only those longer than an equal share are shortened.
    """
    room = MESSAGE_LIMIT - _HEADING_ROOM
    share = room // max(1, len(entries)) - 1
    lines = [line(entry, _LENGTHS[0]) for entry in entries]
    for length in _LENGTHS[1:]:
        if sum(utf16_length(text) + 1 for text in lines) <= room:
            break
        lines = [
            text if utf16_length(text) <= share else line(entry, length)
            for text, entry in zip(lines, entries, strict=True)
        ]
    return lines
