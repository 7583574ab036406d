"""From what somebody asks for to a job under way: the one door that every command, button and reply goes through."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import discord
import structlog

from bot.commands.input_images import InputImage
from bot.commands.invocation import Invocation
from bot.commands.questions import Questions
from bot.errors import Refusal
from bot.jobs.job import Job, JobProgress, JobRequest, Kind
from bot.jobs.service import JobService
from bot.media.resizing import nearest_size
from bot.media.untrusted_images import DecodedImage
from bot.requests.flags import EDIT_FLAGS, read_flags
from bot.requests.member_settings import apply
from bot.requests.originals import Original, fit_original
from bot.requests.spec import ImageOptions, ImageSpec, build_edit_spec, build_spec, choose_size
from bot.store.database import Database
from bot.store.member_settings import read_member_settings
from bot.views.buttons import progress_view
from bot.views.card_messages import CardMessage, refuse_on, remove
from bot.views.errors import explain
from bot.views.progress import ProgressCard, card_text, opening_text, price_text
from zimage_engine.profiles import ModelProfile, Size

log = structlog.get_logger(__name__)


class _CardNotShown(Exception):
    """Discord refused the message with the progress card."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What is to be done with a picture: the member's wishes, and a mask that was drawn for it."""

    options: ImageOptions
    kind: Kind = "edit"
    mask: InputImage | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """What taking orders needs: the jobs, what the model can do, the operator's bounds, and how to ask back."""

    jobs: JobService
    profile: ModelProfile
    max_count: int
    progress_interval: float
    database: Database
    questions: Questions

    async def take(self, invocation: Invocation, options: ImageOptions, *, private: bool | None) -> None:
        """Check the wishes for a new picture, reserve, answer with the progress card, and set the job going.

        Everything that can be refused is refused before the first answer, so that refusals are private. What the
        member did not say (None) is taken from their settings.
        """
        options, private, defaults = await self.filled(invocation, read_flags(options), private=private, edit=False)
        spec, count = build_spec(options, self.profile, max_count=self.max_count)
        await self.draw(invocation, spec, count, kind="imagine", private=private, defaults=defaults)

    async def draw(
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
        defaults: str = "",
    ) -> None:
        """The same for a spec that is settled already, with its source where it has one."""
        request = replace(
            self._request(invocation, spec, count, kind=kind, private=private),
            original=original,
            parent_image_id=parent_id,
            original_link=link,
            defaults=defaults,
        )
        if not await self._ask_first(invocation, request):
            await self._carry_out(request, invocation)

    async def edit(self, invocation: Invocation, edit: Edit, input_image: InputImage, *, private: bool | None) -> None:
        """Change a picture. Reading it may take seconds, so the card comes before what only the picture can tell."""
        options = read_flags(edit.options, EDIT_FLAGS)
        # A message cannot be answered privately: there the member's setting does not count.
        said = False if invocation.reply is None else private
        options, private, defaults = await self.filled(invocation, options, private=said, edit=True)
        private = private or input_image.private
        if private and invocation.reply is None:
            raise Refusal("This picture is private: edit it with the buttons under it, or with /edit.")
        # Whatever is wrong with the wishes themselves is refused before anything public is said.
        build_edit_spec(options, self.profile, max_count=self.max_count, size=self.profile.base_size, masked=False)
        await self.jobs.admission.check_place(invocation.requester)
        await self.jobs.admission.check_words(invocation.requester.guild_id, options.prompt)
        opening = f"{opening_text(options.prompt, input_image.link)}\nReading the picture …"
        card_message = await invocation.open_card(opening, None, private=private)
        try:
            request = await self._edit_request(invocation, replace(edit, options=options), input_image, private=private)
            request = replace(request, defaults=defaults)
            asked = await self._ask_first(invocation, request)
            job = None if asked else await self.jobs.run(request, partial(self._card_on, card_message))
        except Exception as error:  # noqa: BLE001 - explained to the member, and logged where nobody foresaw it
            await refuse_on(card_message, explain(error))
            return
        except asyncio.CancelledError:
            await refuse_on(card_message, "I am just restarting; please ask again in a minute.")
            raise
        if job is None:
            await remove(card_message)

    async def filled(
        self, invocation: Invocation, options: ImageOptions, *, private: bool | None, edit: bool
    ) -> tuple[ImageOptions, bool, str]:
        """The wishes with the member's own settings where they said nothing; what of these was applied."""
        member_settings, most = await read_member_settings(self.database, invocation.user.id), self.max_count
        if member_settings.count is not None or member_settings.size is not None:
            limits = (await self.jobs.admission.quota_state(invocation.requester)).limits
            most = min(most, limits["max_count"].value or most)
            pixels = limits["max_pixels"].value
            if member_settings.size in self.profile.scales and pixels is not None:
                size = choose_size(member_settings.size, options.aspect or member_settings.aspect, self.profile)
                # A default is no wish: where it is not allowed it is not applied.
                member_settings = member_settings if size.pixels <= pixels else replace(member_settings, size=None)
        return apply(member_settings, options, private, profile=self.profile, edit=edit, max_count=most)

    async def _ask_first(self, invocation: Invocation, request: JobRequest) -> bool:
        """Put the price to the member where it is worth a question; whether that was done."""
        quote = await self.jobs.admission.quote(request)
        if quote is None:
            return False
        text = price_text(request, quote, self.jobs.seconds_of(request))
        await self.questions.put(invocation, text, partial(self._confirmed, request), yes="Draw", no="Never mind")
        return True

    async def _confirmed(self, request: JobRequest, invocation: Invocation) -> None:
        """The member said yes. Everything is checked again: roles, limits and rules are those of now."""
        request = replace(
            request,
            requester=invocation.requester,
            reply=invocation.reply,
            response_file_limit=invocation.response_file_limit,
        )
        await self._carry_out(request, invocation)

    async def _carry_out(self, request: JobRequest, invocation: Invocation) -> None:
        """Run the job, with the one answer to the invocation as its card."""
        with suppress(_CardNotShown):
            await self.jobs.run(request, partial(self._open_card, invocation))

    async def _open_card(self, invocation: Invocation, job: Job, progress: JobProgress) -> ProgressCard:
        text, view = card_text(job, progress), progress_view(job.id)
        try:
            card_message = await invocation.open_card(text, view, private=job.private)
        except discord.HTTPException as error:
            # Discord did not take the answer (10062: it came too late), so the member saw a failure.
            log.warning("card_not_shown", job=job.id, code=error.code, status=error.status)
            raise _CardNotShown from error
        return await self._card_on(card_message, job, progress)

    async def _card_on(self, card_message: CardMessage, job: Job, progress: JobProgress) -> ProgressCard:
        """The job's card on a message that is shown already; the job's progress replaces its text soon."""
        del progress
        return ProgressCard(job, card_message, self.progress_interval)

    async def _edit_request(
        self, invocation: Invocation, edit: Edit, input_image: InputImage, *, private: bool
    ) -> JobRequest:
        picture = await input_image.read()
        mask = await edit.mask.read() if edit.mask is not None else None
        wanted = self._size(edit.options, picture)
        original = await asyncio.to_thread(fit_original, picture, mask, wanted, edit.options.fit)
        spec, count = build_edit_spec(
            edit.options, self.profile, max_count=self.max_count, size=wanted, masked=original.mask is not None
        )
        self.profile.check(original.applied_to(spec.request("")))
        request = self._request(invocation, spec, count, kind=edit.kind, private=private)
        return replace(
            request, original=original, parent_image_id=input_image.parent_id, original_link=input_image.link
        )

    def _size(self, options: ImageOptions, picture: DecodedImage) -> Size:
        if options.size or options.aspect:
            return choose_size(options.size, options.aspect, self.profile)
        return nearest_size(self.profile, picture.image.width, picture.image.height)

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
