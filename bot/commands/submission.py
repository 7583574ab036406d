"""From a member's options to a running job: every command, button and reply submits its job here."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import discord
import structlog
from discord.ext import commands

from bot.commands.chosen_options import ChosenOptions
from bot.commands.draft_pictures import draft_of_spec
from bot.commands.early_cards import early_card
from bot.commands.input_images import InputImage
from bot.commands.invocation import Invocation
from bot.commands.member_downloads import MemberDownloads
from bot.commands.parts import BotParts
from bot.commands.posting import check_may_post, shown_to
from bot.commands.price_questions import ask_about_price
from bot.commands.questions import Questions
from bot.errors import Refusal, Restarting
from bot.jobs.job import Job, JobProgress, JobRequest, Kind
from bot.jobs.service import JobService
from bot.media.resizing import nearest_size
from bot.media.untrusted_images import DecodedImage
from bot.requests.drafts import Draft, drafted
from bot.requests.edit_texts import complete_prompt
from bot.requests.flags import EDIT_FLAGS, read_flags
from bot.requests.models import Models, fitted
from bot.requests.originals import Kept, Original, fit_original
from bot.requests.private_option import public_of
from bot.requests.spec import ImageOptions, ImageSpec, build_edit_spec, build_spec, choose_size, unread_spec
from bot.store.database import Database
from bot.views.buttons import CancelButton, progress_view
from bot.views.card_messages import CardMessage, refuse_on, remove
from bot.views.errors import render_error
from bot.views.job_cards import JobCards
from bot.views.progress import ProgressCard, card_text, opening_text
from zimage_engine.profiles import ModelProfile, Size

log = structlog.get_logger(__name__)


class _CardNotShown(Exception):
    """Discord refused the message with the progress card."""


@dataclass(frozen=True, slots=True)
class Edit:
    """How to change a picture: the member's options, and a mask image if they gave one."""

    options: ImageOptions
    kind: Kind = "edit"
    mask: InputImage | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """Submits jobs for commands.

    ``max_count`` is the operator's limit of pictures per job.
    """

    jobs: JobService
    chosen: ChosenOptions
    max_count: int
    cards: JobCards
    database: Database
    questions: Questions
    downloads: MemberDownloads

    @property
    def models(self) -> Models:
        """The bot's models."""
        return self.chosen.models

    async def imagine(self, invocation: Invocation, options: ImageOptions) -> None:
        """Submit a job for new pictures; options that are None are taken from the member's settings.

        Everything that can be refused is refused before the first answer, so that refusals are private.
        """
        draft = Draft.of(options)
        with drafted(draft):
            models = await self.chosen.models_for(invocation)
            options = read_flags(options, models=models, max_count=self.max_count)
            profile = models.of(options)
            options, private, defaults = await self.chosen.with_settings(
                invocation, options, models, private=options.private, edit=False
            )
            spec, count = build_spec(options, profile, max_count=self.max_count)
            await self.submit(invocation, spec, count, kind="imagine", private=private, defaults=defaults, draft=draft)

    async def submit(
        self,
        invocation: Invocation,
        spec: ImageSpec,
        count: int,
        *,
        kind: Kind,
        private: bool,
        original: Original | None = None,
        parent_id: str | None = None,
        link: str | None = None,
        spoiler: bool = False,
        defaults: str = "",
        draft: Draft | None = None,
    ) -> None:
        """Submit a job for a complete spec; an edit's has the ``original`` that it starts from.

        ``parent_id`` is that image's id if it is one of the bot's, ``link`` leads to its message, ``spoiler`` if it is
        hidden until somebody clicks; ``defaults`` tells what was decided for the member; ``draft`` is what the member
        typed, if they typed something. Raises :class:`RequestError`.
        """
        draft = draft or draft_of_spec(spec, self.models, private=private, spoiler=spoiler)
        with drafted(draft):
            private, defaults = await shown_to(invocation, self.jobs.admission, private=private, notes=defaults)
            await check_may_post(invocation, self.jobs.admission, private=private)
            request = replace(
                self._request(invocation, spec, count, kind=kind, private=private),
                original=original,
                parent_image_id=parent_id,
                original_link=link,
                spoiler=spoiler,
                defaults=defaults,
            )
            if not await self._ask_first(invocation, request, draft):
                await self._submit_request(request, invocation)

    async def edit(self, invocation: Invocation, edit: Edit, input_image: InputImage) -> None:
        """Submit a job that changes a picture. Raises :class:`RequestError`.

        Reading the picture may take seconds, so the card is shown before; what the picture makes impossible is then
        said on the card.
        """
        mask = edit.mask.reference if edit.mask is not None else ""
        typed = replace(edit.options, which=None)
        draft = Draft.of(typed, picture=input_image.reference, mask=mask)
        with drafted(draft):
            await self._edit(invocation, edit, input_image, draft)

    async def _edit(self, invocation: Invocation, edit: Edit, input_image: InputImage, draft: Draft) -> None:
        models = await self.chosen.models_for(invocation, input_image.model, edit=True)
        options = read_flags(edit.options, EDIT_FLAGS, models=models, max_count=self.max_count)
        profile = models.of(options)
        options = fitted(options, profile) if options.complete else options
        private = options.private
        if invocation.reply is None:
            # A message cannot be answered privately, so the member's setting does not apply to it.
            private = public_of(options, direct=invocation.guild is None)
        options, private, defaults = await self.chosen.with_settings(
            invocation, options, models, private=private, edit=True
        )
        options = complete_prompt(options, input_image.prompt, profile)
        private = private or input_image.private
        if private and invocation.reply is None:
            raise Refusal("This picture is private: edit it with the buttons under it, or with /edit.")
        private, defaults = await shown_to(invocation, self.jobs.admission, private=private, notes=defaults)
        # What is wrong with the options themselves is refused before anything public is said.
        unread, count = unread_spec(options, profile, max_count=self.max_count, masked=edit.mask is not None)
        unread_request = self._request(invocation, unread, count, kind=edit.kind, private=private)
        check = partial(self.jobs.admission.check, unread_request, at_least=not (options.size or options.aspect))
        self.downloads.check_line(invocation.user.id)
        await check()
        await check_may_post(invocation, self.jobs.admission, private=private)
        note = f"\n-# {input_image.note}" if input_image.note else ""
        opening = opening_text(options.prompt, input_image.link, edit.kind, options.strength or 1.0)
        opening = f"{opening}{note}\nReading the picture …"
        file = input_image.thumbnail() if input_image.thumbnail is not None else None
        make_request = partial(
            self._edit_request, invocation, replace(edit, options=options), profile, input_image, private=private
        )
        with self.jobs.handling():
            async with early_card(
                self.database, invocation, opening, options.prompt, draft, private=private, file=file
            ) as card_message:
                try:
                    async with self.downloads.slot(invocation.user.id):
                        await check()  # other requests of the member were taken in meanwhile
                        request = replace(await make_request(), defaults=defaults)
                        asked = await self._ask_first(invocation, request, draft)
                        job = None if asked else await self.jobs.run(request, partial(self._card_on, card_message))
                except Exception as error:  # noqa: BLE001 - render_error() logs unexpected ones
                    await self._refuse_on(card_message, invocation, error, draft)
                except asyncio.CancelledError:
                    await self._refuse_on(card_message, invocation, Restarting(), draft)
                    raise
                else:
                    if job is None:
                        await remove(card_message)

    def read_edit(self, options: ImageOptions) -> ImageOptions:
        """Return an edit's options with the flags of its prompt read, before its picture and so its model are known.

        Raises as :func:`read_flags`.
        """
        return read_flags(options, EDIT_FLAGS, models=self.models, max_count=self.max_count, any_model=True)

    async def _refuse_on(
        self, card_message: CardMessage, invocation: Invocation, error: Exception, draft: Draft
    ) -> None:
        """End a card whose request is not carried out."""
        told = await render_error(error, self.database, invocation.user.id, invocation.guild, draft)
        await refuse_on(card_message, told.text, told.view)

    async def _ask_first(self, invocation: Invocation, request: JobRequest, draft: Draft) -> bool:
        """Ask the member to confirm a high price. Returns False if the price is too low to ask."""
        return await ask_about_price(
            self.questions, self.jobs, self.database, invocation, request, draft, self._confirmed
        )

    async def _confirmed(self, request: JobRequest, draft: Draft, kept: Kept | None, invocation: Invocation) -> None:
        """Run a confirmed job with its member's roles and limits as they are now; ``kept`` are an edit's files."""
        request = replace(
            request,
            requester=invocation.requester,
            reply=invocation.reply,
            response_file_limit=invocation.response_file_limit,
        )
        with drafted(draft):
            private, defaults = await shown_to(
                invocation,
                self.jobs.admission,
                private=request.visibility == "private",
                notes=request.defaults,
            )
            request = replace(request, visibility="private" if private else "public", defaults=defaults)
            await check_may_post(invocation, self.jobs.admission, private=private)
            await self._submit_request(request, invocation, kept)

    async def _submit_request(self, request: JobRequest, invocation: Invocation, kept: Kept | None = None) -> None:
        """Run the job, with the invocation's answer as its card."""
        with suppress(_CardNotShown):
            await self.jobs.run(request, partial(self._open_card, invocation, kept))

    async def _open_card(
        self, invocation: Invocation, kept: Kept | None, job: Job, progress: JobProgress
    ) -> ProgressCard:
        if kept is not None:
            kept.needed = True  # the job's row has the names
        text, view = card_text(job, progress), progress_view(job.id)
        try:
            card_message = await invocation.open_card(text, view, private=job.private)
        except discord.HTTPException as error:
            # Discord refused the answer (10062: it came too late), so the member saw the command fail.
            log.warning("card_not_shown", job=job.id, code=error.code, status=error.status)
            raise _CardNotShown from error
        return self.cards.card_on(job, card_message, text)

    async def _card_on(self, card_message: CardMessage, job: Job, _: JobProgress) -> ProgressCard:
        """Return a card on an existing message, whose text stays until the first progress."""
        return self.cards.card_on(job, card_message)

    async def _edit_request(
        self, invocation: Invocation, edit: Edit, profile: ModelProfile, input_image: InputImage, *, private: bool
    ) -> JobRequest:
        picture = await input_image.read()
        mask = await edit.mask.read() if edit.mask is not None else None
        wanted = _size(edit.options, profile, picture)
        original = await asyncio.to_thread(fit_original, picture, mask, wanted, edit.options.fit)
        spec, count = build_edit_spec(
            edit.options, profile, max_count=self.max_count, size=wanted, masked=original.mask is not None
        )
        original.check(profile, spec.strength)
        request = self._request(invocation, spec, count, kind=edit.kind, private=private)
        return replace(
            request,
            original=original,
            parent_image_id=input_image.parent_id,
            original_link=input_image.link,
            spoiler=input_image.spoiler,
        )

    @staticmethod
    def _request(invocation: Invocation, spec: ImageSpec, count: int, *, kind: Kind, private: bool) -> JobRequest:
        return JobRequest(
            event_id=invocation.event_id,
            spec=spec,
            count=count,
            requester=invocation.requester,
            channel_id=invocation.channel_id,
            visibility="private" if private else "public",
            reply=invocation.reply,
            response_file_limit=invocation.response_file_limit,
            kind=kind,
        )


def _size(options: ImageOptions, profile: ModelProfile, picture: DecodedImage) -> Size:
    if options.size or options.aspect:
        return choose_size(options.size, options.aspect, profile)
    return nearest_size(profile, picture.image.width, picture.image.height)


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add the button under progress cards."""
    del parts  # it finds them through the interaction
    bot.add_dynamic_items(CancelButton)
