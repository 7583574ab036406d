"""The one door for jobs: whoever asks, by whatever way, is looked at here, and what may be is inserted and reserved."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from dataclasses import dataclass, replace
from functools import partial

import structlog

from bot.jobs.job import Job, Order
from bot.moderation.limit_texts import needs_asking, refusal
from bot.moderation.word_filter import WordFilter
from bot.requests.pricing import job_cost
from bot.store import admission, moderation
from bot.store.admission import Admitted, NotAdmitted, Standing, Terms, Wanted
from bot.store.database import Database
from bot.store.jobs import NewJob
from bot.store.limits import Asking
from zimage_engine.profiles import ModelProfile

log = structlog.get_logger(__name__)

SPOILER = "spoiler"
"""The server's setting: ``on`` hides pictures until somebody clicks."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A price before it is paid: credits in 1/100, and those that are left (None: no end to them)."""

    credits: int
    left: int | None


class Door:
    """``configured`` are the operator's terms as the settings have them, ``terms`` those that hold now."""

    def __init__(self, database: Database, profile: ModelProfile, configured: Terms) -> None:
        self._database = database
        self._profile = profile
        self.configured = configured
        self.terms = configured
        self._filters: dict[int, WordFilter] = {}
        self._words_changed = 0

    async def check_place(self, asking: Asking) -> None:
        """Refuse whoever may not draw here at all, before they have typed anything."""
        try:
            await self._database.look(partial(admission.check_place, asking=asking, terms=self.terms, now=_now()))
        except NotAdmitted as cause:
            raise refusal(cause) from cause

    async def quote(self, order: Order) -> Quote | None:
        """The price of an order where that is worth a question, else None. Refuses what would be refused anyway."""
        wanted = self._wanted(order)
        if not needs_asking(wanted.credits, 0):
            return None
        await self.check_words(order.guild_id, order.spec.prompt)
        try:
            left = await self._database.look(
                partial(_look, asking=order.asking, wanted=wanted, terms=self.terms, now=_now())
            )
        except NotAdmitted as cause:
            raise refusal(cause) from cause
        return Quote(wanted.credits, left) if needs_asking(wanted.credits, left) else None

    async def standing(self, asking: Asking) -> Standing:
        """What a member may use and has used."""
        return await self._database.look(partial(admission.standing, asking=asking, terms=self.terms, now=_now()))

    async def insert(self, order: Order) -> Job | None:
        """Reserve the credits and insert the job, in one transaction; None for an event that came twice."""
        await self.check_words(order.guild_id, order.spec.prompt)
        wanted, now, nonce = self._wanted(order), _now(), "j" + secrets.token_hex(11)
        image_ids = tuple(secrets.token_hex(6) for _ in range(order.count))
        new = NewJob(
            source_id=order.source_id,
            owner_id=order.owner_id,
            scope_id=order.scope_id,
            guild_id=order.guild_id,
            channel_id=order.channel_id,
            visibility=order.visibility,
            kind=order.kind,
            spec=order.spec.to_json(),
            credits=wanted.credits,
            images=tuple((image_id, order.spec.image(i).seed) for i, image_id in enumerate(image_ids)),
            nonce=nonce,
            reply=order.reply,
            created_at=now,
            parent_image_id=order.parent_image_id,
        )
        try:
            entered = await self._database.write(
                partial(_enter, new=new, asking=order.asking, terms=self.terms, pixels=wanted.pixels)
            )
        except NotAdmitted as cause:
            log.info("job_refused", user=order.owner_id, guild=order.guild_id, reason=type(cause).__name__)
            raise refusal(cause) from cause
        if entered is None:
            return None
        admitted, spoiler = entered
        if spoiler != order.spoiler:
            order = replace(order, spoiler=spoiler)
        return Job(admitted.job_id, order, wanted.credits, image_ids, nonce, now, admitted.concurrent_jobs)

    def forget_words(self, guild_id: int) -> None:
        """A server's words have changed: read them again when they are needed next."""
        self._words_changed += 1
        self._filters.pop(guild_id, None)

    async def check_words(self, guild_id: int | None, prompt: str) -> None:
        """Refuse a prompt that the server's admins do not want."""
        if guild_id is None:
            return
        words = self._filters.get(guild_id)
        if words is None:
            changes = self._words_changed
            listed = await moderation.words_of(self._database, guild_id)
            words = await asyncio.to_thread(WordFilter, listed, guild_id)
            if changes == self._words_changed:
                self._filters[guild_id] = words
        if words:
            await asyncio.to_thread(words.check, prompt)

    def _wanted(self, order: Order) -> Wanted:
        spec = order.spec
        if order.source is not None:
            spec = replace(spec, source=spec.source or "not kept yet")  # an edit leaves out steps, and their price
        return Wanted(job_cost(spec, order.count, self._profile), order.count, spec.size.pixels)


def _look(connection: sqlite3.Connection, asking: Asking, wanted: Wanted, terms: Terms, now: int) -> int | None:
    admission.check(connection, asking, wanted, terms, now)
    return admission.standing(connection, asking, terms, now).left(terms)


def _enter(
    connection: sqlite3.Connection, new: NewJob, asking: Asking, terms: Terms, pixels: int
) -> tuple[Admitted, bool] | None:
    """Insert the job; whether its pictures are to be hidden until somebody clicks."""
    admitted = admission.admit(connection, new, asking, terms, pixels=pixels)
    if admitted is None:
        return None
    hidden = asking.guild_id is not None and moderation.setting(connection, asking.guild_id, SPOILER) == "on"
    return admitted, hidden


def _now() -> int:
    return int(time.time())
