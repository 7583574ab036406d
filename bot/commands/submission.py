"""From what somebody asks for to a job under way: the one door that every command, button and reply goes through."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial

import discord
import structlog

from bot.commands.input_images import Subject
from bot.commands.invocation import Asker
from bot.commands.questions import Questions
from bot.errors import Refusal
from bot.jobs.job import Job, Kind, Order
from bot.jobs.service import JobService
from bot.media.resizing import nearest_size
from bot.media.untrusted_images import Incoming
from bot.requests.flags import EDIT_FLAGS, read_flags
from bot.requests.member_settings import apply
from bot.requests.originals import Source, fit_source
from bot.requests.spec import ImageSpec, Wishes, choose_size, settle, settle_edit
from bot.store.database import Database
from bot.store.member_settings import read_preferences
from bot.views.buttons import progress_view
from bot.views.card_messages import Surface, refuse_on, remove
from bot.views.errors import explain
from bot.views.progress import ProgressCard, card_text, opening_text, price_text
from zimage_engine.profiles import ModelProfile, Size

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Edit:
    """What is to be done with a picture: the member's wishes, and a mask that was drawn for it."""

    wishes: Wishes
    kind: Kind = "edit"
    mask: Subject | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """What taking orders needs: the jobs, what the model can do, the operator's bounds, and how to ask back."""

    jobs: JobService
    profile: ModelProfile
    max_count: int
    progress_interval: float
    database: Database
    questions: Questions

    async def take(self, asker: Asker, wishes: Wishes, *, private: bool | None) -> None:
        """Check the wishes for a new picture, reserve, answer with the progress card, and set the job going.

        Everything that can be refused is refused before the first answer, so that refusals are private. What the
        member did not say (None) is taken from their settings.
        """
        wishes, private, defaults = await self.filled(asker, read_flags(wishes), private=private, edit=False)
        spec, count = settle(wishes, self.profile, max_count=self.max_count)
        await self.draw(asker, spec, count, kind="imagine", private=private, defaults=defaults)

    async def draw(
        self,
        asker: Asker,
        spec: ImageSpec,
        count: int,
        *,
        kind: Kind,
        private: bool,
        source: Source | None = None,
        parent_id: str | None = None,
        link: str | None = None,
        defaults: str = "",
    ) -> None:
        """The same for a spec that is settled already, with its source where it has one."""
        order = replace(
            self._order(asker, spec, count, kind=kind, private=private),
            source=source,
            parent_image_id=parent_id,
            source_link=link,
            defaults=defaults,
        )
        if not await self._ask_first(asker, order):
            await self._carry_out(order, asker)

    async def edit(self, asker: Asker, edit: Edit, subject: Subject, *, private: bool | None) -> None:
        """Change a picture. Reading it may take seconds, so the card comes before what only the picture can tell."""
        wishes = read_flags(edit.wishes, EDIT_FLAGS)
        # A message cannot be answered privately: there the member's setting does not count.
        said = False if asker.reply is None else private
        wishes, private, defaults = await self.filled(asker, wishes, private=said, edit=True)
        private = private or subject.private
        if private and asker.reply is None:
            raise Refusal("This picture is private: edit it with the buttons under it, or with /edit.")
        # Whatever is wrong with the wishes themselves is refused before anything public is said.
        settle_edit(wishes, self.profile, max_count=self.max_count, size=self.profile.base_size, masked=False)
        await self.jobs.door.check_place(asker.asking)
        await self.jobs.door.check_words(asker.asking.guild_id, wishes.prompt)
        opening = f"{opening_text(wishes.prompt, subject.link)}\nReading the picture …"
        surface = await asker.open_card(opening, None, private=private)
        try:
            order = await self._order_edit(asker, replace(edit, wishes=wishes), subject, private=private)
            order = replace(order, defaults=defaults)
            asked = await self._ask_first(asker, order)
            job = None if asked else await self.jobs.submit(order)
        except Exception as error:  # noqa: BLE001 - explained to the member, and logged where nobody foresaw it
            await refuse_on(surface, explain(error))
            return
        except asyncio.CancelledError:
            await refuse_on(surface, "I am just restarting; please ask again in a minute.")
            raise
        if job is None:
            await remove(surface)
            return
        self._begin(job, surface)

    async def filled(
        self, asker: Asker, wishes: Wishes, *, private: bool | None, edit: bool
    ) -> tuple[Wishes, bool, str]:
        """The wishes with the member's own settings where they said nothing; what of these was applied."""
        preferences, most = await read_preferences(self.database, asker.user.id), self.max_count
        if preferences.count is not None or preferences.size is not None:
            limits = (await self.jobs.door.standing(asker.asking)).limits
            most = min(most, limits["max_count"].value or most)
            pixels = limits["max_pixels"].value
            if preferences.size in self.profile.scales and pixels is not None:
                size = choose_size(preferences.size, wishes.aspect or preferences.aspect, self.profile)
                # A default is no wish: where it is not allowed it is not applied.
                preferences = preferences if size.pixels <= pixels else replace(preferences, size=None)
        return apply(preferences, wishes, private, profile=self.profile, edit=edit, max_count=most)

    async def _ask_first(self, asker: Asker, order: Order) -> bool:
        """Put the price to the member where it is worth a question; whether that was done."""
        quote = await self.jobs.door.quote(order)
        if quote is None:
            return False
        text = price_text(order, quote, self.jobs.seconds_of(order))
        await self.questions.put(asker, text, partial(self._confirmed, order), yes="Draw", no="Never mind")
        return True

    async def _confirmed(self, order: Order, asker: Asker) -> None:
        """The member said yes. Everything is checked again: roles, limits and rules are those of now."""
        order = replace(order, asking=asker.asking, reply=asker.reply, response_file_limit=asker.response_file_limit)
        await self._carry_out(order, asker)

    async def _carry_out(self, order: Order, asker: Asker) -> None:
        """Submit, show the card, begin."""
        job = await self.jobs.submit(order)
        if job is None:
            return
        try:
            text = card_text(job, self.jobs.opening(job))
            surface = await asker.open_card(text, progress_view(job.id), private=job.private)
        except discord.HTTPException as error:
            # Discord did not take the answer (10062: it came too late), so the member saw a failure.
            log.warning("card_not_shown", job=job.id, code=error.code, status=error.status)
            await self.jobs.abandon(job, "not_acknowledged")
            return
        except BaseException:
            await self.jobs.abandon(job, "not_acknowledged")
            raise
        self._begin(job, surface)

    async def _order_edit(self, asker: Asker, edit: Edit, subject: Subject, *, private: bool) -> Order:
        picture = await subject.read()
        mask = await edit.mask.read() if edit.mask is not None else None
        wanted = self._size(edit.wishes, picture)
        source = await asyncio.to_thread(fit_source, picture, mask, wanted, edit.wishes.fit)
        spec, count = settle_edit(
            edit.wishes, self.profile, max_count=self.max_count, size=wanted, masked=source.mask is not None
        )
        self.profile.check(source.applied_to(spec.request("")))
        order = self._order(asker, spec, count, kind=edit.kind, private=private)
        return replace(order, source=source, parent_image_id=subject.parent_id, source_link=subject.link)

    def _size(self, wishes: Wishes, picture: Incoming) -> Size:
        if wishes.size or wishes.aspect:
            return choose_size(wishes.size, wishes.aspect, self.profile)
        return nearest_size(self.profile, picture.image.width, picture.image.height)

    def _begin(self, job: Job, surface: Surface) -> None:
        self.jobs.begin(job, ProgressCard(job, surface, self.progress_interval), surface.message_id)

    @staticmethod
    def _order(asker: Asker, spec: ImageSpec, count: int, *, kind: Kind, private: bool) -> Order:
        return Order(
            source_id=asker.source_id,
            spec=spec,
            count=count,
            asking=asker.asking,
            channel_id=asker.channel_id,
            visibility="private" if private else "public",
            reply=asker.reply,
            response_file_limit=asker.response_file_limit,
            kind=kind,
        )
