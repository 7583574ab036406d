"""What buttons and lists use of the running bot, as Protocols.

discord.py gives every callback the client, without its type. :func:`parts_of` is the only place that reads the bot's
own attributes from there, so types and import contracts cover everything that views use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import discord

from bot.jobs.service import JobService
from bot.store.database import Database

if TYPE_CHECKING:  # these modules import this one
    from bot.views.member_limits import MemberAction
    from bot.views.picture_moderation import ModerationAction
    from bot.views.queue import Whose
    from bot.views.setup import ChannelChoice, Switch


class ResultHandler(Protocol):
    """Handles the buttons and selects under results. Each method raises :class:`bot.errors.Refusal`."""

    async def on_row(self, interaction: discord.Interaction[Any], what: str, job_id: int) -> None: ...

    async def on_image(self, interaction: discord.Interaction[Any], what: str, image_id: str) -> None: ...

    async def on_upload(self, interaction: discord.Interaction[Any], what: str, upload_id: str) -> None: ...


class PickHandler(Protocol):
    """Handles the answers to the question which picture is meant."""

    async def on_pick(self, interaction: discord.Interaction[Any], draft_id: int, image_id: str | None) -> None:
        """Raises :class:`bot.errors.Refusal`. ``image_id`` is None if the member means none."""
        ...


AnswerAction = Literal["yes", "no", "show"]
"""What the buttons of a question do; ``show`` shows the question itself."""


class AnswerHandler(Protocol):
    """Handles the answers to questions such as a price."""

    async def answered(self, interaction: discord.Interaction[Any], question_id: str, answer: AnswerAction) -> None: ...


class PrivacyHandler(Protocol):
    """Handles the buttons under the question of ``/privacy delete``."""

    async def on_press(self, interaction: discord.Interaction[Any], what: str) -> None: ...


class UndeliveredHandler(Protocol):
    """Handles the buttons beside results that could not be posted."""

    async def on_show(self, interaction: discord.Interaction[Any], job_id: int) -> None:
        """Raises :class:`bot.errors.Refusal` if the member cannot have the result shown."""
        ...


class FirstContactHandler(Protocol):
    """Handles the button under an answer to a message that reads like a prompt."""

    async def on_generate(self, interaction: discord.Interaction[Any], message_id: int) -> None:
        """Raises :class:`bot.errors.Refusal` if it is not the member's own message, or gone."""
        ...


class DraftHandler(Protocol):
    """Handles the buttons under refused, failed and cancelled requests.

    Each method raises :class:`bot.errors.Refusal`, if it was another member's request, among other things.
    """

    async def on_edit(self, interaction: discord.Interaction[Any], draft_id: int) -> None: ...

    async def on_alternative(self, interaction: discord.Interaction[Any], draft_id: int, number: int) -> None: ...

    async def on_job(self, interaction: discord.Interaction[Any], job_id: int) -> None: ...

    async def on_text(self, interaction: discord.Interaction[Any]) -> None: ...


class QueueHandler(Protocol):
    """Handles the buttons that cancel jobs. Each method raises :class:`bot.errors.Refusal`."""

    async def on_cancel(self, interaction: discord.Interaction[Any], job_id: int) -> None: ...

    async def on_page(self, interaction: discord.Interaction[Any], whose: Whose, page: int) -> None: ...

    async def on_choice(
        self, interaction: discord.Interaction[Any], whose: Whose, page: int, job_ids: Sequence[int]
    ) -> None: ...

    async def on_cancel_all(self, interaction: discord.Interaction[Any]) -> None: ...


class SetupHandler(Protocol):
    """Handles the controls of ``/admin setup``. Each method raises :class:`bot.errors.Refusal` if it is no admin."""

    async def on_switch(self, interaction: discord.Interaction[Any], what: Switch, value: str) -> None: ...

    async def on_channels(
        self, interaction: discord.Interaction[Any], what: ChannelChoice, chosen: tuple[int, ...]
    ) -> None: ...

    async def on_credits(self, interaction: discord.Interaction[Any]) -> None: ...


class MemberMenuHandler(Protocol):
    """Handles the buttons of *Apps → Limits*."""

    async def on_press(self, interaction: discord.Interaction[Any], what: MemberAction, member_id: int) -> None:
        """Raises :class:`bot.errors.Refusal` if the member who presses is no admin."""
        ...


class ModerateMenuHandler(Protocol):
    """Handles the buttons of *Apps → Moderate*."""

    async def on_press(self, interaction: discord.Interaction[Any], what: ModerationAction, job_id: int) -> None:
        """Raises :class:`bot.errors.Refusal` if the member is no moderator where the picture was posted."""
        ...


class AdminAccess(Protocol):
    """What the lists of ``/admin`` read, and for whom."""

    @property
    def database(self) -> Database: ...

    async def check_admin(self, interaction: discord.Interaction[Any]) -> None:
        """Raises :class:`bot.errors.Refusal` if the member is no admin of the server."""
        ...

    def check_owner(self, interaction: discord.Interaction[Any]) -> None:
        """Raises :class:`bot.errors.Refusal` if the member is not one of the people who run the bot."""
        ...


class Parts(Protocol):
    """The parts of the bot that views use."""

    @property
    def jobs(self) -> JobService: ...

    @property
    def database(self) -> Database: ...

    @property
    def drafts(self) -> DraftHandler: ...

    @property
    def result_actions(self) -> ResultHandler: ...

    @property
    def edit_requests(self) -> PickHandler: ...

    @property
    def questions(self) -> AnswerHandler: ...

    @property
    def undelivered(self) -> UndeliveredHandler: ...

    @property
    def queue(self) -> QueueHandler: ...

    @property
    def privacy(self) -> PrivacyHandler: ...

    @property
    def first_contact(self) -> FirstContactHandler: ...

    @property
    def admin(self) -> AdminAccess: ...

    @property
    def setup(self) -> SetupHandler: ...

    @property
    def member_menu(self) -> MemberMenuHandler: ...

    @property
    def moderate_menu(self) -> ModerateMenuHandler: ...


class _Client(Protocol):
    @property
    def parts(self) -> Parts: ...

    async def answer_error(self, interaction: discord.Interaction[Any], error: Exception) -> None: ...


def parts_of(interaction: discord.Interaction[Any]) -> Parts:
    """Return the parts of the bot that received the interaction."""
    client: _Client = interaction.client
    return client.parts


async def report_error(interaction: discord.Interaction[Any], error: Exception) -> None:
    """Give an error to the bot's one error handler, which answers the member."""
    client: _Client = interaction.client
    await client.answer_error(interaction, error)
