"""Questions to a member before a request is carried out, such as whether to pay a high price; open for twelve minutes.

No task waits for the answer: the button that is pressed starts the action. A restart ends all questions. A question
that is over gives the request back, to be edited and asked for again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import discord
import structlog
from discord.ext import commands

from bot.commands.invocation import InteractionInvocation, Invocation
from bot.commands.parts import BotParts
from bot.errors import Refusal
from bot.requests.drafts import Draft
from bot.throttle import DOUBLE_CLICK_SECONDS, Throttle
from bot.views.card_messages import NOT_SENT, CardMessage, remove
from bot.views.discord_requests import reason_of
from bot.views.drafts import draft_view, remaining_view
from bot.views.errors import request_text
from bot.views.parts import AnswerAction
from bot.views.questions import AnswerButton, is_question, question_view, show_question_view

log = structlog.get_logger(__name__)

_SECONDS = 12 * 60
_OVER = "This question has expired, and nothing was charged."
_CANCELLED = "Cancelled, and nothing was charged."
_LEAD = "I have a question before I start. Only you will see it."
_MAX = 100
"""The most questions open at once: each holds its request, and has an edit's original on disk."""


@dataclass(slots=True)
class _Question:
    """An open question. ``shown`` is the message that asks it, ``lead`` the public one that leads to it.

    One of them is None: a message in a server cannot be answered privately, so the lead shows the question on a press.
    ``over`` is called once, when the question is over and the request that it is about has ended or is a job.
    """

    invocation: Invocation
    act: Callable[[Invocation], Awaitable[None]]
    text: str
    draft: Draft
    draft_id: int
    lead: CardMessage | None
    shown: CardMessage | None
    timer: asyncio.TimerHandle
    over: Callable[[], Awaitable[None]]

    async def remove(self) -> None:
        for message in (self.lead, self.shown):
            if message is not None:
                await remove(message)


class Questions:
    """The open questions, at most one for each member: a new one replaces the old."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, _Question] = OrderedDict()
        self._ending: set[asyncio.Task[None]] = set()
        self._answered: Throttle[str] = Throttle(DOUBLE_CLICK_SECONDS)

    @property
    def open_ids(self) -> list[str]:
        """The ids of the open questions, the oldest first."""
        return list(self._open)

    async def ask(
        self,
        invocation: Invocation,
        text: str,
        act: Callable[[Invocation], Awaitable[None]],
        draft: Draft,
        draft_id: int,
        *,
        over: Callable[[], Awaitable[None]],
    ) -> None:
        """Ask a question about a request, of which ``draft`` is kept. On yes ``act`` is called, in the end ``over``.

        Only the member sees the question. ``act`` gets the invocation as of the answer. Raises what discord.py raises.
        """
        question_id = secrets.token_hex(6)
        lead, shown = None, None
        if invocation.reply is None and invocation.guild is not None:
            lead = await invocation.ask(_LEAD, show_question_view(question_id))
        else:
            shown = await invocation.ask(text, question_view(question_id, draft_id))
        for replaced in self._ids_of(invocation.user.id):
            self._expire(replaced)
        while len(self._open) >= _MAX:
            self._expire(next(iter(self._open)))
        timer = asyncio.get_running_loop().call_later(_SECONDS, self._expire, question_id)
        self._open[question_id] = _Question(invocation, act, text, draft, draft_id, lead, shown, timer, over)

    def drop_of(self, member_id: int) -> None:
        """Remove a member's open question, with the request that it holds."""
        for question_id in self._ids_of(member_id):
            self._drop(question_id)

    def drop_on(self, message: discord.Message | None) -> None:
        """Remove the open question that a message asks: its request was changed and asked for anew."""
        for question_id, question in list(self._open.items()):
            if message is not None and question.shown is not None and question.shown.message_id == message.id:
                self._drop(question_id)

    async def answered(self, interaction: discord.Interaction[Any], question_id: str, answer: AnswerAction) -> None:
        """Handle a pressed button. Raises :class:`Refusal` if somebody else than the member pressed it."""
        question = self._open.get(question_id)
        if question is None and self._answered.remaining(question_id):  # a double click
            await interaction.response.defer()
            return
        if question is None:  # answered, expired, or asked before a restart
            message = interaction.message
            if message is None or not is_question(message):
                raise Refusal(_OVER)
            view = remaining_view(message)
            await interaction.response.edit_message(content=f"{message.content}\n{_OVER}", view=view)
            return
        if question.invocation.user.id != interaction.user.id:
            raise Refusal("Only the member who was asked can answer this.")
        if answer == "show":
            earlier, view = question.shown, question_view(question_id, question.draft_id)
            question.shown = await InteractionInvocation(interaction).ask(question.text, view)
            if earlier is not None:
                await remove(earlier)
            return
        self._close(question_id)
        self._answered.start(question_id)
        async with AsyncExitStack() as after:
            after.push_async_callback(question.over)
            if answer == "no":
                await interaction.response.defer()
                await _end(question, _CANCELLED)
                return
            after.push_async_callback(question.remove)
            await question.act(await question.invocation.answered_by(interaction))

    def _ids_of(self, member_id: int) -> list[str]:
        return [key for key, question in self._open.items() if question.invocation.user.id == member_id]

    def _close(self, question_id: str) -> _Question:
        question = self._open.pop(question_id)
        question.timer.cancel()
        return question

    def _expire(self, question_id: str) -> None:
        """End an unanswered question."""
        question = self._close(question_id)
        self._start(question, _end(question, _OVER))

    def _drop(self, question_id: str) -> None:
        question = self._close(question_id)
        self._start(question, question.remove())

    def _start(self, question: _Question, ending: Coroutine[Any, Any, None]) -> None:
        async def end() -> None:
            try:
                await question.over()
            finally:
                await ending

        task = asyncio.create_task(end(), name="question-ending")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _end(question: _Question, sentence: str) -> None:
    """Show a sentence and the request instead of the question, and remove the public message that led to it."""
    if question.lead is not None:
        await remove(question.lead)
    if question.shown is None:
        return
    try:
        view = draft_view(question.draft_id)
        await question.shown.edit(content=request_text(sentence, question.draft), view=view)
    except NOT_SENT as error:
        log.info("question_not_ended", reason=reason_of(error))


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add the buttons under questions."""
    del parts  # they find them through the interaction
    bot.add_dynamic_items(AnswerButton)
