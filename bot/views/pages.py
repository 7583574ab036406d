"""Lists in pages, with Back and Next: a page is read anew when its button is pressed, so nothing is kept of it.

Each list is a kind of :class:`PageButton`; a ``custom_id`` carries the page's number alone. The server is always the
one in which the button is pressed, and who presses must be an admin then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import discord

from bot.errors import Refusal
from bot.store.database import Database
from bot.views.base import SafeDynamicItem, SafeView
from bot.views.parts import parts_of
from bot.views.text import MESSAGE_LIMIT

EntryT = TypeVar("EntryT")
_HEADING_ROOM = 80
_LENGTHS = (120, 80, 50, 32, 20, 12, 8)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. ``number`` counts from 0, ``total`` is of entries on all pages."""

    heading: str
    lines: list[str]
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class Place:
    """Which entries stand on a page: ``count`` of them, after ``skip`` others."""

    number: int
    skip: int
    count: int


def page_template(name: str) -> str:
    """What the ``custom_id`` of a list's buttons looks like."""
    return rf"zib:{name}:(?P<page>\d{{1,9}})\Z"


class PageButton(SafeDynamicItem[discord.ui.Button[Any]], template=r"never-used-page"):
    """Turns to a page of a list. A list says its ``name``, how many entries a page has, and how one is read."""

    name: ClassVar[str]
    entries_per_page: ClassVar[int] = 10

    def __init__(self, page: int | str, label: str = "Page") -> None:
        self.page = int(page)
        button: discord.ui.Button[Any] = discord.ui.Button(label=label, custom_id=f"zib:{self.name}:{self.page}")
        super().__init__(button)

    @classmethod
    async def read(cls, database: Database, guild: discord.Guild, number: int) -> Page:
        """A server's page, or its last one where there are fewer."""
        raise NotImplementedError

    @classmethod
    def place(cls, number: int, total: int) -> Place:
        """Where the page stands among ``total`` entries; the last one where there are fewer."""
        number = min(number, max(0, total - 1) // cls.entries_per_page)
        return Place(number, number * cls.entries_per_page, cls.entries_per_page)

    @classmethod
    async def show(cls, interaction: discord.Interaction[Any], number: int = 0) -> None:
        """Answer with a page, seen by the admin alone; in place of the page whose button was pressed."""
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
            await interaction.response.edit_message(content=text, view=view, suppress_embeds=True)
        else:
            await interaction.response.send_message(text, view=view, ephemeral=True, suppress_embeds=True)

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).admin.check_admin(interaction)
        await self.show(interaction, self.page)


def fit(entries: Sequence[EntryT], line: Callable[[EntryT, int], str]) -> list[str]:
    """A line for each entry, together short enough for a message.

    ``line`` takes an entry and how many characters each free text in it may have; where all the lines are too long,
    the longest ones get shorter texts.
    """
    room = MESSAGE_LIMIT - _HEADING_ROOM
    share = room // max(1, len(entries)) - 1
    lines = [line(entry, _LENGTHS[0]) for entry in entries]
    for length in _LENGTHS[1:]:
        if sum(len(text) + 1 for text in lines) <= room:
            break
        lines = [
            text if len(text) <= share else line(entry, length) for text, entry in zip(lines, entries, strict=True)
        ]
    return lines
