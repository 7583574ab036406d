"""What commands are made of: the one object that every ``add_to(bot, parts)`` gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # most of these modules import this one, for their own add_to
    from bot.commands.admin.context import AdminContext
    from bot.commands.admin.member_menu import MemberMenu
    from bot.commands.admin.moderate_menu import ModerateMenu
    from bot.commands.admin.setup import SetupActions
    from bot.commands.chart_renderer import ChartRenderer
    from bot.commands.drafts import DraftActions
    from bot.commands.edit_requests import EditRequests
    from bot.commands.first_contact import FirstContact
    from bot.commands.gallery import Gallery
    from bot.commands.input_images import InputImages
    from bot.commands.picture_picker import PicturePickers
    from bot.commands.privacy import PrivacyActions
    from bot.commands.questions import Questions
    from bot.commands.queue import QueueActions
    from bot.commands.result_actions import ResultActions
    from bot.commands.submission import Submission
    from bot.commands.undelivered import UndeliveredActions
    from bot.jobs.service import JobService
    from bot.privacy.removed_places import RemovedPlaces
    from bot.settings import Settings
    from bot.store.database import Database
    from bot.views.command_mentions import CommandMentions
    from bot.views.parts import Parts
    from zimage_engine.engine import Engine


@dataclass(frozen=True, slots=True)
class BotParts:
    """The parts of a running bot. Views see them as :class:`bot.views.parts.Parts`."""

    settings: Settings
    database: Database
    engine: Engine
    jobs: JobService
    questions: Questions
    submission: Submission
    input_images: InputImages
    edit_requests: EditRequests
    pickers: PicturePickers
    gallery: Gallery
    drafts: DraftActions
    result_actions: ResultActions
    undelivered: UndeliveredActions
    queue: QueueActions
    privacy: PrivacyActions
    admin: AdminContext
    setup: SetupActions
    member_menu: MemberMenu
    moderate_menu: ModerateMenu
    charts: ChartRenderer
    mentions: CommandMentions
    first_contact: FirstContact
    removed_places: RemovedPlaces


if TYPE_CHECKING:  # mypy checks that BotParts implements Parts
    _IS_PARTS: type[Parts] = BotParts
