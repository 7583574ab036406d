"""The lists of ``/owner audit`` and ``/owner jobs``, for the people who run the bot."""

from __future__ import annotations

import sqlite3
import time
from functools import partial
from typing import Any

import discord

from bot.plurals import counted
from bot.store.audit import count_changes, newest
from bot.store.database import Database
from bot.store.guild_settings import INSTANCE
from bot.store.owner_jobs import ListedJob, count_listed, listed
from bot.views.audit import audit_line
from bot.views.pages import Page, PageButton, fit, page_template
from bot.views.parts import parts_of


class _ForOwners:
    """Shows pages to the people who run the bot alone."""

    @classmethod
    async def check(cls, interaction: discord.Interaction[Any]) -> None:
        parts_of(interaction).admin.check_owner(interaction)


class OwnerAuditPages(_ForOwners, PageButton, template=page_template("owner-audit")):
    """The list of what the people who run the bot changed."""

    name = "owner-audit"

    @classmethod
    async def read(cls, database: Database, guild: discord.Guild, number: int) -> Page:
        del guild
        return await database.read(partial(_audit_page, number=number))


class OwnerJobPages(_ForOwners, PageButton, template=page_template("owner-jobs")):
    """The list of the requests that are open, and of those that failed in the last day."""

    name = "owner-jobs"

    @classmethod
    async def read(cls, database: Database, guild: discord.Guild, number: int) -> Page:
        del guild
        return await database.read(partial(_job_page, number=number, now=int(time.time())))


def _audit_page(connection: sqlite3.Connection, number: int) -> Page:
    total = count_changes(connection, INSTANCE)
    if not total:
        return Page("Nothing was changed with /owner yet.", [], 0, 0)
    place = OwnerAuditPages.place(number, total)
    rows = newest(connection, INSTANCE, count=place.count, skip=place.skip)
    heading = f"**{counted(total, 'change')} with /owner**, the newest first"
    return Page(heading, fit(rows, audit_line), place.number, total)


def _job_page(connection: sqlite3.Connection, number: int, now: int) -> Page:
    waiting, failed = count_listed(connection, now)
    total = waiting + failed
    if not total:
        return Page("No request is open, and none failed in the last 24 hours.", [], 0, 0)
    place = OwnerJobPages.place(number, total)
    jobs = listed(connection, now, count=place.count, skip=place.skip)
    heading = f"**{counted(waiting, 'request')} open**, the oldest first; {failed:,} failed in the last 24 hours"
    return Page(heading, [_job_line(job) for job in jobs], place.number, total)


def _job_line(job: ListedJob) -> str:
    """Return what is known of a job, without its prompt."""
    where = f"server `{job.guild_id}`" if job.guild_id is not None else "direct messages"
    parts = [
        f"`{job.id}` **{job.state}** {job.kind} × {job.count}",
        f"<@{job.owner_id}>",
        where,
        f"asked <t:{job.created_at}:R>",
    ]
    if job.attempts:
        parts.append(f"interrupted {job.attempts} ×")
    if job.delivery_attempts and job.ended_at is None:
        parts.append(f"tried to post {job.delivery_attempts} ×")
    if job.error_code:
        parts.append(f"`{job.error_code}`")
    return " · ".join(parts)
