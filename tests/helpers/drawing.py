"""For fault tests: commands to a bot on a loopback Discord, and what members see of their pictures afterwards."""

from __future__ import annotations

import itertools
import re
import sqlite3
from typing import Any

from tests.helpers.loopback import CHANNEL, Loopback, Message, shown
from tests.helpers.loopback.messages import versions
from tests.helpers.loopback.places import new_channels
from tests.helpers.loopback.state import MIB
from tests.helpers.online import Online
from tests.helpers.waiting import until

CARD = re.compile(r"zib:cancel:j?(\d+)")
RESULT = re.compile(r"zib:more:j(\d+)")
_BUSY = "SELECT id FROM jobs WHERE state IN ('queued', 'running', 'delivering')"
_NUMBERS = itertools.count(1)


class Drawing:
    """A running bot. Each command has a prompt of its own, by which its job and its messages are found."""

    def __init__(self, running: Online) -> None:
        self.discord: Loopback = running.discord
        self.client = running.client
        path = running.client.settings.database_path
        self._database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self._database.row_factory = sqlite3.Row

    async def ask(self, name: str = "imagine", **options: Any) -> Asked:
        """Have a member ask for a small picture. Returns what was asked."""
        prompt = f"a red circle on a blue background, number {next(_NUMBERS)}"
        options = {"steps": 2, "channel": CHANNEL} | options
        token = await self.discord.command(name, prompt=prompt, **options)
        return Asked(self, prompt, token, options["channel"])

    def rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        return [dict(row) for row in self._database.execute(sql, parameters)]

    async def until_quiet(self, seconds: float = 30.0) -> None:
        """Wait until no job is being drawn or posted. One that could not be posted may still wait for its next turn."""
        await until(lambda: not self.rows(_BUSY) and self.client.jobs.under_way == 0, seconds)

    async def clean_up(self) -> None:
        """End what a test has left: faults, permissions, archived threads, closed direct messages."""
        self.discord.faults.clear()
        self.discord.state.closed_to_bot.clear()
        self.discord.state.upload_limit = 20 * MIB
        for number, channel in new_channels().items():
            if self.discord.state.channels.get(number) != channel:
                self.discord.state.channels[number] = channel
                self.discord.state.update_channel(channel)
        await self.until_quiet()
        self._database.close()
        problems, self.discord.problems = self.discord.problems, []
        assert problems == []


class Asked:
    """One command, its job's row, and its messages."""

    def __init__(self, drawing: Drawing, prompt: str, token: str, channel: str) -> None:
        self._drawing = drawing
        self._discord = drawing.discord
        self.prompt, self.token, self.channel = prompt, token, channel

    @property
    def job(self) -> dict[str, Any]:
        """The job's row. Fails if there is none or more than one."""
        (row,) = self._drawing.rows("SELECT * FROM jobs WHERE source_id = ?", int(self.token.removeprefix("token-")))
        return row

    @property
    def has_job(self) -> bool:
        number = int(self.token.removeprefix("token-"))
        return bool(self._drawing.rows("SELECT 1 FROM jobs WHERE source_id = ?", number))

    @property
    def ledger(self) -> dict[str, list[int]]:
        """The credits of the job's ledger rows by entry."""
        found: dict[str, list[int]] = {}
        for row in self._drawing.rows("SELECT entry, credits FROM ledger WHERE job_id = ?", self.job["id"]):
            found.setdefault(row["entry"], []).append(row["credits"])
        return found

    @property
    def results(self) -> list[Message]:
        """The messages that show the job's pictures, in any channel."""
        buttons = f"zib:more:j{self.job['id']}"
        return [each for each in shown(self._discord.state.record) if buttons in each.custom_ids and each.attachments]

    @property
    def card(self) -> Message | None:
        """The message that was the job's progress card, as it is now; None if it is deleted."""
        button = f"zib:cancel:{self.job['id']}"
        ours = {
            message_id
            for message_id, all_of_it in versions(self._discord.state.record).items()
            if any(button in version.custom_ids for version in all_of_it)
        }
        left = [each for each in shown(self._discord.state.record) if each.id in ours]
        return left[0] if left else None

    async def ended(self, *states: str, seconds: float = 30.0) -> Asked:
        """Wait until the job has ended in one of the states, ``delivered`` unless named, and nothing is under way."""
        wanted = states or ("delivered",)
        await until(lambda: self.has_job and self.job["state"] in wanted, seconds)
        await self._drawing.until_quiet()
        return self

    def check_one_picture(self, channel: str | None = None) -> Message:
        """Assert that exactly one message shows the result, with its credits settled once, and that no card is left."""
        (result,) = self.results
        assert result.channel_id == (channel or self.channel)
        assert self.card is None or self.card.id == result.id
        assert self.job["state"] == "delivered"
        assert len(self.ledger["settled"]) == 1
        return result
