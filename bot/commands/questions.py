"""Questions to a member before something is done, such as paying a high price; open for twelve minutes.

No task waits for the answer: the button that is pressed starts the action. A restart ends all questions.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import discord
import structlog
from discord.ext import commands

from bot.commands.invocation import Invocation
from bot.commands.parts import BotParts
from bot.errors import Refusal
from bot.throttle import Throttle
from bot.views.card_messages import CardMessage, remove
from bot.views.questions import AnswerButton, question_view

log = structlog.get_logger(__name__)

_SECONDS = 12 * 60
_OVER = "This question is over; please ask again."
_ONCE_SECONDS = 3.0
_MAX = 100
"""The most questions open at once: each holds its request, and an edit's request holds its picture."""


@dataclass(slots=True)
class _Question:
    invocation: Invocation
    act: Callable[[Invocation], Awaitable[None]]
    card_message: CardMessage
    timer: asyncio.TimerHandle


class Questions:
    """The open questions, at most one for each member: a new one replaces the old."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, _Question] = OrderedDict()
        self._removing: set[asyncio.Task[None]] = set()
        self._answered: Throttle[str] = Throttle(_ONCE_SECONDS)

    @property
    def open_ids(self) -> list[str]:
        """The ids of the open questions, the oldest first."""
        return list(self._open)

    async def ask(
        self, invocation: Invocation, text: str, act: Callable[[Invocation], Awaitable[None]], *, yes: str, no: str
    ) -> None:
        """Ask a question. On yes ``act`` is called with the invocation as of the answer.

        Raises what discord.py raises.
        """
        question_id = secrets.token_hex(6)
        card_message = await invocation.ask(text, question_view(question_id, yes, no))
        self.drop_of(invocation.user.id)
        while len(self._open) >= _MAX:
            self._drop(next(iter(self._open)))
        timer = asyncio.get_running_loop().call_later(_SECONDS, self._drop, question_id)
        self._open[question_id] = _Question(invocation, act, card_message, timer)

    def drop_of(self, member_id: int) -> None:
        """Remove a member's open question, with the request that it holds."""
        for question_id in [key for key, question in self._open.items() if question.invocation.user.id == member_id]:
            self._drop(question_id)

    async def answered(self, interaction: discord.Interaction[Any], question_id: str, *, yes: bool) -> None:
        """Handle a pressed button. Raises :class:`Refusal` if somebody else than the member pressed it."""
        question = self._open.get(question_id)
        if question is None and self._answered.remaining(question_id):  # a double click
            await interaction.response.defer()
            return
        if question is None:  # answered, expired, or asked before a restart
            asked = f"{interaction.message.content}\n" if interaction.message is not None else ""
            await interaction.response.edit_message(content=f"{asked}{_OVER}", view=None)
            return
        if question.invocation.user.id != interaction.user.id:
            raise Refusal("Only the member who was asked can answer this.")
        del self._open[question_id]
        self._answered.start(question_id)
        question.timer.cancel()
        try:
            if yes:
                await question.act(await question.invocation.answered_by(interaction))
            else:
                await interaction.response.defer()
        finally:
            await remove(question.card_message)

    def _drop(self, question_id: str) -> None:
        """Remove an unanswered question and its message."""
        question = self._open.pop(question_id, None)
        if question is None:
            return
        question.timer.cancel()
        task = asyncio.create_task(remove(question.card_message), name=f"question-{question_id}")
        self._removing.add(task)
        task.add_done_callback(self._removing.discard)


def add_to(bot: commands.Bot, parts: BotParts) -> None:
    """Add the buttons under questions."""
    del parts  # they find them through the interaction
    bot.add_dynamic_items(AnswerButton)
