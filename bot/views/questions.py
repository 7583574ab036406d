"""The buttons under a question, such as whether to pay a price. What they start is kept in memory alone."""

from __future__ import annotations

from typing import Any, cast

import discord

from bot.views.base import SafeDynamicItem, SafeView
from bot.views.drafts import DraftButton
from bot.views.parts import AnswerAction, parts_of
from bot.views.private_messages import custom_ids


class AnswerButton(
    SafeDynamicItem[discord.ui.Button[Any]], template=r"zib:answer-(?P<what>yes|no|show):q(?P<question>[0-9a-f]{12})\Z"
):
    """The answer yes or no to one question; ``show`` under a public message shows the question to its member."""

    def __init__(self, what: str, question_id: str, label: str | None = None) -> None:
        self.what, self.question_id = cast("AnswerAction", what), question_id
        style = discord.ButtonStyle.secondary if what == "no" else discord.ButtonStyle.primary
        super().__init__(
            discord.ui.Button(label=label or what, style=style, custom_id=f"zib:answer-{what}:q{question_id}")
        )

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).questions.answered(interaction, self.question_id, self.what)


def question_view(question_id: str, draft_id: int) -> discord.ui.View:
    """Return the buttons of a question; [Change] opens the form with the draft that the question is about."""
    view = SafeView(timeout=None)
    view.add_item(AnswerButton("yes", question_id, "Generate"))
    view.add_item(DraftButton("edit", draft_id, "Change"))
    view.add_item(AnswerButton("no", question_id, "Cancel"))
    return view


def is_question(message: discord.Message) -> bool:
    """Return whether a message asks a question or leads to one: only such a message is changed when it is over."""
    found = custom_ids(message)
    kinds = (AnswerButton, DraftButton)
    templates = [kind.__discord_ui_compiled_template__ for kind in kinds]
    own = all(any(template.match(custom_id) for template in templates) for custom_id in found)
    return bool(found) and own and not message.attachments


def show_question_view(question_id: str) -> discord.ui.View:
    """Return the button under a public message that leads to a question."""
    view = SafeView(timeout=None)
    view.add_item(AnswerButton("show", question_id, "See the question"))
    return view
