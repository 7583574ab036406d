"""Admission of jobs: checks a request, inserts its job and reserves its credits. Every way to ask comes here."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import structlog

from bot.errors import Refusal
from bot.jobs.job import Job, JobRequest
from bot.moderation import serving
from bot.moderation.limit_texts import refusal
from bot.moderation.server_filters import ServerFilters
from bot.moderation.serving import Served
from bot.requests.pricing import Prices, needs_confirmation
from bot.store import admission, removed_places
from bot.store.admission import Admitted, JobDemand, QuotaState, Terms
from bot.store.database import Database
from bot.store.guild_settings import PRIVATE_PICTURES, SPOILER, find_setting, read_setting
from bot.store.jobs import NewJob
from bot.store.limits import Requester
from bot.store.model_rules import allowed_models
from bot.store.not_admitted import NotAdmitted, OverCeiling, OverLimit

log = structlog.get_logger(__name__)

NO_ROOM = "My disk is almost full, so I take no new requests until my operator has made room."


@dataclass(frozen=True, slots=True)
class Quote:
    """A job's price, and what the member can still spend (None if unlimited), both in 1/100 credit."""

    credits: int
    left: int | None


class Admission:
    """Checks requests and inserts jobs. ``configured`` are the terms of the settings, ``terms`` those in force.

    ``has_room`` returns whether the disk has room for more pictures.
    """

    def __init__(self, database: Database, prices: Prices, configured: Terms) -> None:
        self._database = database
        self._prices = prices
        self.configured = configured
        self.terms = configured
        self.has_room: Callable[[], bool] = lambda: True
        self._filters = ServerFilters(database)

    async def check_place(self, requester: Requester) -> None:
        """Raise :class:`Refusal` if the member may not use the bot here at all, whatever they ask for."""
        try:
            await self._database.read(partial(admission.check_place, requester=requester, terms=self.terms, now=_now()))
        except NotAdmitted as cause:
            raise refusal(cause) from cause

    async def check_served(self, asked: Served, requester: Requester) -> None:
        """Raise :class:`Refusal` if a command or button is not served to the member here and now."""
        if asked in (Served.ALWAYS, Served.AS_REQUEST):
            return
        check = partial(serving.check, asked=asked, requester=requester, now=_now())
        try:
            await self._database.read(check)
        except NotAdmitted as cause:
            raise refusal(cause) from cause

    async def check(self, request: JobRequest, *, at_least: bool = False) -> None:
        """Raise :class:`Refusal` if such a job would not be admitted now.

        ``at_least`` is whether the request may cost more, because its size is not known yet.
        """
        self._check_room()
        demand = self._demand(request)
        try:
            await self._database.read(
                partial(admission.check, requester=request.requester, demand=demand, terms=self.terms, now=_now())
            )
        except NotAdmitted as cause:
            refused = refusal(cause)
            if at_least and isinstance(cause, OverLimit | OverCeiling):
                refused = Refusal(str(refused).replace("This costs ", "This costs at least ", 1))
            raise refused from cause
        await self.check_words(request.guild_id, request.spec.prompt)

    async def allows_private(self, guild_id: int | None) -> bool:
        """Return whether members may ask for private pictures in a server, or in direct messages (None)."""
        return await read_setting(self._database, guild_id, PRIVATE_PICTURES) != "off"

    async def quote_to_confirm(self, request: JobRequest) -> Quote | None:
        """Return the price if the member has to be asked before they pay it, else None.

        Raises :class:`Refusal` if such a job would not be admitted now.
        """
        demand = self._demand(request)
        if not needs_confirmation(demand.credits, 0):
            return None  # however little is left
        await self.check_words(request.guild_id, request.spec.prompt)
        try:
            left = await self._database.read(
                partial(_credits_left, requester=request.requester, demand=demand, terms=self.terms, now=_now())
            )
        except NotAdmitted as cause:
            raise refusal(cause) from cause
        return Quote(demand.credits, left) if needs_confirmation(demand.credits, left) else None

    async def allowed_models(self, requester: Requester) -> tuple[str, ...]:
        """Return the names of the models that a member may use, in the bot's order."""
        names = self._prices.models.names
        if len(names) < 2:
            return names
        return await self._database.read(partial(allowed_models, requester=requester, models=names))

    async def quota_state(self, requester: Requester) -> QuotaState:
        """Return a member's limits, and what they have used of them."""
        return await self._database.read(
            partial(admission.quota_state, requester=requester, terms=self.terms, now=_now())
        )

    async def insert(self, request: JobRequest) -> Job | None:
        """Check the request, insert the job and reserve its credits, in one transaction.

        Returns None if the event made a job before. Raises :class:`Refusal` if anything forbids the job.
        """
        self._check_room()
        await self.check_words(request.guild_id, request.spec.prompt)
        demand, now, nonce = self._demand(request), _now(), "j" + secrets.token_hex(11)
        image_ids = tuple(secrets.token_hex(6) for _ in range(request.count))
        new = NewJob(
            event_id=request.event_id,
            owner_id=request.owner_id,
            scope_id=request.scope_id,
            guild_id=request.guild_id,
            channel_id=request.channel_id,
            visibility=request.visibility,
            kind=request.kind,
            spec=request.spec.to_json(),
            credits=demand.credits,
            images=tuple((image_id, request.spec.image(i).seed) for i, image_id in enumerate(image_ids)),
            nonce=nonce,
            reply=request.reply,
            created_at=now,
            parent_image_id=request.parent_image_id,
            response_file_limit=request.response_file_limit,
            original_link=request.original_link,
            defaults=request.defaults,
        )
        try:
            inserted = await self._database.write(
                partial(_insert, new=new, request=request, demand=demand, terms=self.terms)
            )
        except NotAdmitted as cause:
            log.info("job_refused", user=request.owner_id, guild=request.guild_id, reason=type(cause).__name__)
            raise refusal(cause) from cause
        if inserted is None:
            return None
        admitted, spoiler = inserted
        if spoiler != request.spoiler:
            request = replace(request, spoiler=spoiler)
        return Job(admitted.job_id, request, demand.credits, image_ids, nonce, now, admitted.concurrent_jobs)

    def forget_words(self, guild_id: int) -> None:
        """Read a server's words again when they are needed next: they have changed."""
        self._filters.forget(guild_id)

    async def check_words(self, guild_id: int | None, prompt: str) -> None:
        """Raise :class:`Refusal` if the prompt has a word that the server's admins forbid."""
        if guild_id is not None:
            await self._filters.check(guild_id, prompt)

    def _check_room(self) -> None:
        if not self.has_room():
            raise Refusal(NO_ROOM)

    def _demand(self, request: JobRequest) -> JobDemand:
        price = self._prices.quote(request.spec, request.count, edit=request.is_edit)
        private = request.visibility == "private"
        models = self._prices.models
        return JobDemand(
            price,
            request.count,
            request.spec.size.pixels,
            private,
            models.of_spec(request.spec).name,
            models.names if models.several else (),
        )


def _credits_left(
    connection: sqlite3.Connection, requester: Requester, demand: JobDemand, terms: Terms, now: int
) -> int | None:
    """Check a job without inserting it. Returns the credits that the member can still spend, None if unlimited."""
    admission.check(connection, requester, demand, terms, now)
    return admission.quota_state(connection, requester, terms, now).left(terms)


def _insert(
    connection: sqlite3.Connection, new: NewJob, request: JobRequest, demand: JobDemand, terms: Terms
) -> tuple[Admitted, bool] | None:
    """Admit the job, and decide whether its pictures are spoilers: as its original is, or because the server says so.

    Returns None if its event made a job before.
    """
    requester, guild_id = request.requester, request.guild_id
    spoiler = request.spoiler or (guild_id is not None and find_setting(connection, guild_id, SPOILER) == "on")
    removed_places.note_parent(connection, requester.channels)
    admitted = admission.admit(connection, new, requester, demand, terms, spoiler=spoiler)
    return (admitted, spoiler) if admitted is not None else None


def _now() -> int:
    return int(time.time())
