"""The list of ``/queue``: requests that have not ended, with what cancels them, and results that wait to be shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import discord

from bot.inert import cut, inert, one_line, utf16_length
from bot.jobs.job import Job, JobProgress
from bot.plurals import counted
from bot.store.job_rows import Undelivered
from bot.views.base import SafeDynamicItem, SafeView
from bot.views.ids import ids_in
from bot.views.parts import parts_of
from bot.views.progress_lines import state_line
from bot.views.text import MESSAGE_LIMIT
from bot.views.undelivered import undelivered_text, undelivered_view

Whose = Literal["mine", "all"]
"""Whose requests a list shows: its reader's, wherever they are, or everybody's in this server."""

ENTRIES_PER_PAGE = 8
_LABEL_LIMIT = 100
_PROMPT_LENGTHS = (120, 80, 50, 32, 20)
_HIDDEN = "private"


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """A request in the list. ``prompt`` is None if the reader may not see it."""

    job: Job
    progress: JobProgress
    prompt: str | None

    @property
    def can_be_cancelled(self) -> bool:
        return self.progress.state not in ("cancelling", "delivering")


class PageOfQueue(
    SafeDynamicItem[discord.ui.Button[Any]], template=r"zib:queue-(?P<whose>mine|all):(?P<page>\d{1,9})\Z"
):
    """A button that shows a page of somebody's or everybody's requests, as they are now."""

    def __init__(self, whose: Whose, page: int | str, label: str = "Page") -> None:
        self.whose, self.page = whose, int(page)
        super().__init__(discord.ui.Button(label=label, custom_id=f"zib:queue-{whose}:{page}"))

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).queue.on_page(interaction, self.whose, self.page)


class CancelSelect(
    SafeDynamicItem[discord.ui.Select[Any]], template=r"zib:queue-cancel-(?P<whose>mine|all):(?P<page>\d{1,9})\Z"
):
    """A select that cancels what is chosen of a page: one request of one's own, or several in the list of all."""

    def __init__(self, whose: Whose, page: int | str, options: Sequence[discord.SelectOption] = ()) -> None:
        self.whose, self.page = whose, int(page)
        # To receive a choice, any options do: Discord sends the chosen values alone.
        choices = list(options) or [discord.SelectOption(label="1", value="-")]
        select: discord.ui.Select[Any] = discord.ui.Select(
            placeholder="Cancel …",
            options=choices,
            max_values=1 if whose == "mine" else len(choices),
            custom_id=f"zib:queue-cancel-{whose}:{page}",
        )
        super().__init__(select)

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        data: Any = interaction.data
        job_ids = ids_in(data["values"])
        await parts_of(interaction).queue.on_choice(interaction, self.whose, self.page, job_ids)


class CancelAllButton(SafeDynamicItem[discord.ui.Button[Any]], template=r"zib:queue-cancel-all\Z"):
    """A button that cancels all requests of the member who presses it."""

    def __init__(self) -> None:
        super().__init__(
            discord.ui.Button(label="Cancel all", style=discord.ButtonStyle.danger, custom_id="zib:queue-cancel-all")
        )

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).queue.on_cancel_all(interaction)


QUEUE_ITEMS: tuple[type[SafeDynamicItem[Any]], ...] = (PageOfQueue, CancelSelect, CancelAllButton)


@dataclass(frozen=True, slots=True)
class QueueList:
    """What a list shows. ``notice`` comes first; with ``may_see_all`` there is a button for everybody's requests."""

    whose: Whose
    entries: Sequence[QueueEntry]
    page: int
    may_see_all: bool
    undelivered: Sequence[Undelivered] = ()
    notice: str = ""

    @property
    def last_page(self) -> int:
        return max(0, len(self.entries) - 1) // ENTRIES_PER_PAGE

    @property
    def shown_page(self) -> int:
        """The page, or the last one if there are fewer by now."""
        return min(self.page, self.last_page)

    @property
    def shown(self) -> list[tuple[int, QueueEntry]]:
        """The entries of the page with their numbers in the list."""
        first = self.shown_page * ENTRIES_PER_PAGE
        return list(enumerate(self.entries[first : first + ENTRIES_PER_PAGE], first + 1))

    def text(self) -> str:
        """Return the message's text."""
        above = f"{self.notice}\n" if self.notice else ""
        below = f"\n{undelivered_text(self.undelivered)}" if self.undelivered else ""
        room = MESSAGE_LIMIT - utf16_length(above) - utf16_length(below)
        text = ""
        for length in _PROMPT_LENGTHS:
            text = "\n".join([self._heading(), *(self._line(number, entry, length) for number, entry in self.shown)])
            if utf16_length(text) <= room:
                break
        return cut(f"{above}{text}{below}", MESSAGE_LIMIT)

    def view(self) -> discord.ui.View:
        """Return the message's select and buttons."""
        view = SafeView(timeout=None)
        options = [_option(number, entry) for number, entry in self.shown if entry.can_be_cancelled]
        if options:
            view.add_item(CancelSelect(self.whose, self.shown_page, options))
        if options and self.whose == "mine":
            view.add_item(CancelAllButton())
        if self.shown_page > 0:
            view.add_item(PageOfQueue(self.whose, self.shown_page - 1, "Back"))
        if self.shown_page < self.last_page:
            view.add_item(PageOfQueue(self.whose, self.shown_page + 1, "Next"))
        view.add_item(PageOfQueue(self.whose, self.shown_page, "Refresh"))
        if self.whose == "all":
            view.add_item(PageOfQueue("mine", 0, "My requests"))
        elif self.may_see_all:
            view.add_item(PageOfQueue("all", 0, "Everybody's requests"))
        for item in undelivered_view(self.undelivered).children if self.undelivered else ():
            view.add_item(item)
        return view

    def _heading(self) -> str:
        count = len(self.entries)
        requests = counted(count, "request")
        if self.whose == "all":
            heading = f"**{requests} of this server in the queue**" if count else "Nobody in this server waits for me."
        else:
            heading = f"**{requests} of yours in the queue**" if count else "You have nothing in the queue."
        pages = f" · page {self.shown_page + 1} of {self.last_page + 1}" if self.last_page else ""
        return heading + pages

    def _line(self, number: int, entry: QueueEntry, length: int) -> str:
        request = entry.job.request
        who = f"<@{request.owner_id}> in <#{request.channel_id}>: " if self.whose == "all" else ""
        prompt = inert(entry.prompt, length) if entry.prompt is not None else _HIDDEN
        return f"{number}. {who}{prompt} · {state_line(entry.job, entry.progress)}"


def _option(number: int, entry: QueueEntry) -> discord.SelectOption:
    prompt = one_line(entry.prompt) if entry.prompt is not None else _HIDDEN
    return discord.SelectOption(label=cut(f"{number} · {prompt}", _LABEL_LIMIT), value=str(entry.job.id))
