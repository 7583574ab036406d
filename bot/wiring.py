"""Builds what the commands are made of."""

from __future__ import annotations

import discord

from bot.commands.admin.context import AdminContext
from bot.commands.admin.member_menu import MemberMenu
from bot.commands.admin.moderate_menu import ModerateMenu
from bot.commands.admin.setup import SetupActions
from bot.commands.chart_renderer import ChartRenderer
from bot.commands.chosen_options import ChosenOptions
from bot.commands.draft_pictures import DraftPictures
from bot.commands.drafts import DraftActions
from bot.commands.edit_requests import EditRequests
from bot.commands.first_contact import FirstContact
from bot.commands.gallery import Gallery
from bot.commands.input_images import InputImages
from bot.commands.member_downloads import MemberDownloads
from bot.commands.parts import BotParts
from bot.commands.picture_access import PictureAccess
from bot.commands.picture_picker import PicturePickers
from bot.commands.privacy import PrivacyActions
from bot.commands.private_menus import PrivateMenus
from bot.commands.questions import Questions
from bot.commands.queue import QueueActions
from bot.commands.result_actions import ResultActions
from bot.commands.submission import Submission
from bot.commands.undelivered import UndeliveredActions
from bot.services import Services
from bot.settings import Settings
from bot.views.command_mentions import CommandMentions
from bot.views.job_cards import JobCards


def build_parts(client: discord.AutoShardedClient, services: Services, settings: Settings, cards: JobCards) -> BotParts:
    """Build what the commands are made of, from services that have started."""
    database, engine, jobs = services.database, services.engine, services.jobs
    open_questions, mentions = Questions(), CommandMentions()
    chosen = ChosenOptions(jobs.models, jobs.admission, database, settings.max_count)
    downloads = MemberDownloads(database, settings.max_upload_mb * 2**20, settings.upload_bytes_per_day)
    submitter = Submission(jobs, chosen, settings.max_count, cards, database, open_questions, downloads)
    access = PictureAccess(client, database, settings.retention_days)
    input_images = InputImages(client, database, settings.image_dir, downloads, access)
    pickers = PicturePickers(input_images, database)
    pictures = DraftPictures(client, input_images, database, jobs.originals)
    edits = EditRequests(submitter, input_images, pictures, pickers, database)
    drafts_of_members = DraftActions(submitter, input_images, database, pictures, edits, pickers, open_questions)
    services.privacy.forgets.append(open_questions.drop_of)
    menus, admin_context = PrivateMenus(), AdminContext(client, database, jobs, settings.bot_owner_ids)
    gallery = Gallery(
        database, jobs, input_images, settings.image_dir, downloads, submitter.chosen, menus, admin_context
    )
    return BotParts(
        settings=settings,
        database=database,
        engine=engine,
        jobs=jobs,
        questions=open_questions,
        submission=submitter,
        input_images=input_images,
        edit_requests=edits,
        pickers=pickers,
        gallery=gallery,
        drafts=drafts_of_members,
        result_actions=ResultActions(submitter, input_images, gallery, menus, drafts_of_members, database),
        undelivered=UndeliveredActions(jobs.undelivered),
        queue=QueueActions(jobs, admin_context, access),
        privacy=PrivacyActions(client, services.privacy, settings),
        admin=admin_context,
        setup=SetupActions(admin_context, mentions),
        member_menu=MemberMenu(admin_context),
        moderate_menu=ModerateMenu(admin_context, gallery, access),
        charts=ChartRenderer(),
        mentions=mentions,
        first_contact=FirstContact(client, submitter, mentions),
        removed_places=services.removed_places,
    )
