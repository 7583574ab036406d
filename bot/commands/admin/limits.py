"""``/admin limits set|clear|show``, ``/admin grant`` and ``/admin reset``: how much each member may use."""

from __future__ import annotations

import sqlite3
import time
from functools import partial
from typing import Any

import discord
from discord import app_commands

from bot.commands.admin.context import AdminContext, answer, bots_ask_for_nothing, guild_of
from bot.commands.invocation import requester_of
from bot.commands.parts import BotParts
from bot.errors import Refusal
from bot.inert import cut, in_quotes
from bot.moderation.durations import parse_period
from bot.moderation.limit_ranges import limit_range
from bot.moderation.limit_texts import format_value
from bot.requests.pricing import credits_text, format_credits
from bot.store import ledger
from bot.store import limits as store
from bot.store.audit import Change
from bot.store.limits import LIMITS, UNLIMITED, LimitName, LimitRow, Target
from bot.views.quota import LimitPages, limit_lines, quota_text, target_text
from bot.views.text import MESSAGE_LIMIT

_NAMES = [
    app_commands.Choice(name=f"{limit.title}: {limit.meaning}"[:100], value=limit.name) for limit in LIMITS.values()
]
_MAX_GRANTED = 100_000.0
_REASON_LIMIT = 200
Mention = discord.Role | discord.Member


def add_to(admin: app_commands.Group, parts: BotParts) -> None:
    context = parts.admin
    limits = app_commands.Group(name="limits", description="Who may use how much", parent=admin)
    _add_set(limits, context)
    _add_clear_and_show(limits, context)
    _add_grant_and_reset(admin, context)


def _add_set(limits: app_commands.Group, context: AdminContext) -> None:
    @limits.command(name="set", description="Set a limit for a member, a role, or everyone")
    @app_commands.describe(
        target="A member, a role, or @everyone",
        limit="Which limit",
        value="A number, or unlimited; pixels also like 1024x1024",
        period="How long it applies, like 7d or 12h; for good if left out",
    )
    @app_commands.rename(period="for")
    @app_commands.choices(limit=_NAMES)
    async def set_limit(
        interaction: discord.Interaction[Any], target: Mention, limit: str, value: str, period: str | None = None
    ) -> None:
        _check_limitable(target)
        name = _name(limit)
        until = int(time.time()) + parse_period(period) if period else None
        number = limit_range(name, context.jobs.admission.terms).parse(value)
        row = LimitRow(*_target(target), name, number, until)
        change = await context.change(interaction, partial(set_limit_row, guild_id=guild_of(interaction), row=row))
        whom = target_text(row.target, row.target_id)
        same = "" if change else ", as before"
        await answer(interaction, f"{whom} · {LIMITS[name].title}: {_value_text(row)}{same}.")

    @set_limit.autocomplete("value")
    async def offer(interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        chosen = getattr(interaction.namespace, "limit", None)
        terms = context.jobs.admission.terms
        values = next((limit_range(name, terms).offered() for name in LIMITS if name == chosen), (UNLIMITED,))
        return [app_commands.Choice(name=value, value=value) for value in values if typed.lower() in value]


def _add_clear_and_show(limits: app_commands.Group, context: AdminContext) -> None:
    @limits.command(name="clear", description="Remove a limit: the more general one applies again")
    @app_commands.describe(target="A member, a role, or @everyone", limit="Which limit; all of them if left out")
    @app_commands.choices(limit=_NAMES)
    async def clear(interaction: discord.Interaction[Any], target: Mention, limit: str | None = None) -> None:
        guild_id, (kind, target_id) = guild_of(interaction), _target(target)
        names = [_name(limit)] if limit else list(LIMITS)
        cleared = [
            name
            for name in names
            if await context.change(
                interaction, partial(clear_limit_row, guild_id=guild_id, target=kind, target_id=target_id, name=name)
            )
        ]
        whom = target_text(kind, target_id)
        if not cleared:
            raise Refusal(f"Nothing was set for {whom}; /admin limits show lists what is.")
        await answer(interaction, f"Cleared for {whom}: {'; '.join(LIMITS[name].title for name in cleared)}.")

    @limits.command(name="show", description="All limits that are set, or those that apply to one member, and why")
    @app_commands.describe(target="A member, a role, or @everyone; all if left out")
    async def show(interaction: discord.Interaction[Any], target: Mention | None = None) -> None:
        guild_id, now = guild_of(interaction), int(time.time())
        admission = context.jobs.admission
        rows = await context.database.read(partial(store.limits_of, guild_id=guild_id, now=now))
        if target is None and len(rows) > LimitPages.entries_per_page:
            await LimitPages.show(interaction)
            return
        if target is None:
            await answer(interaction, cut("\n".join(limit_lines(rows, admission.terms)), MESSAGE_LIMIT))
            return
        kind, target_id = _target(target)
        lines = limit_lines([row for row in rows if (row.target, row.target_id) == (kind, target_id)], admission.terms)
        if isinstance(target, discord.Member):
            quota_state = await admission.quota_state(requester_of(target, interaction.channel, guild_id, guild_id))
            text = quota_text(quota_state, admission.terms, direct=False, own=False)
            lines = [f"The limits of {target.mention}:", *text.splitlines()[1:]]
        await answer(interaction, cut("\n".join(lines), MESSAGE_LIMIT))


def _add_grant_and_reset(admin: app_commands.Group, context: AdminContext) -> None:
    @admin.command(name="grant", description="Give a member credits once, on top of the daily ones")
    @app_commands.describe(member="Who gets them", credit="How many, like 10 or 2.5", reason="Shown in the audit")
    @app_commands.rename(credit="credits")
    async def grant(
        interaction: discord.Interaction[Any],
        member: discord.Member,
        credit: app_commands.Range[float, 0.01, _MAX_GRANTED],
        reason: app_commands.Range[str, 1, _REASON_LIMIT] | None = None,
    ) -> None:
        if member.bot:
            raise bots_ask_for_nothing("they need no credits")
        amount = round(credit * 100)
        guild_id = guild_of(interaction)
        await context.change(
            interaction, partial(_grant, guild_id=guild_id, member=member.id, amount=amount, reason=reason)
        )
        text = f"{member.mention} has {credits_text(amount)} more, kept until used."
        await answer(interaction, text)

    @admin.command(name="reset", description="Let a member's credits of the last 24 hours no longer count")
    @app_commands.describe(member="Whose")
    async def reset(interaction: discord.Interaction[Any], member: discord.Member) -> None:
        row = await context.change(
            interaction, partial(reset_credits, guild_id=guild_of(interaction), member=member.id)
        )
        if row is None:
            raise Refusal(f"{member.mention} has used no credits in the last 24 hours.")
        await answer(interaction, f"{member.mention} has {row.change.before} back.")


def _name(limit: str) -> LimitName:
    for name in LIMITS:
        if name == limit:
            return name
    raise Refusal(f"There is no limit {in_quotes(limit, 30)}: take one of {', '.join(LIMITS)}.")


def _check_limitable(target: Mention) -> None:
    """Raise :class:`Refusal` if the target is a bot, or the role of one."""
    if target.bot if isinstance(target, discord.Member) else target.is_bot_managed():
        raise bots_ask_for_nothing("they need no limits")


def _target(target: Mention) -> tuple[Target, int]:
    """Return the limit's target that a mention means; @everyone is a role of Discord's."""
    if isinstance(target, discord.Role):
        return ("everyone", 0) if target.is_default() else ("role", target.id)
    return "user", target.id


def _value_text(row: LimitRow | None) -> str:
    if row is None:
        return "not set"
    until = f" until <t:{row.until}:f>" if row.until is not None else ""
    return f"{format_value(row.name, row.value)}{until}"


def set_limit_row(connection: sqlite3.Connection, *, guild_id: int, row: LimitRow) -> Change | None:
    """Set a limit. Returns None if it was set to that already."""
    before = store.write_limit(connection, guild_id, row, int(time.time()))
    if before == row:
        return None
    return _limit_change("limits set", row.target, row.target_id, row.name, before, row)


def clear_limit_row(
    connection: sqlite3.Connection, *, guild_id: int, target: Target, target_id: int, name: LimitName
) -> Change | None:
    """Take a limit away. Returns None if none was set."""
    before = store.clear_limit(connection, guild_id, target, target_id, name, int(time.time()))
    return _limit_change("limits clear", target, target_id, name, before, None) if before else None


def _limit_change(
    action: str, target: Target, target_id: int, name: LimitName, before: LimitRow | None, after: LimitRow | None
) -> Change:
    return Change(
        f"{action} {name}",
        target_text(target, target_id),
        _value_text(before),
        _value_text(after),
        member_id=target_id if target == "user" else None,
    )


def _grant(connection: sqlite3.Connection, *, guild_id: int, member: int, amount: int, reason: str | None) -> Change:
    before = ledger.granted(connection, member, guild_id)
    ledger.grant(connection, member, guild_id, amount, int(time.time()))
    after = ledger.granted(connection, member, guild_id)
    values = format_credits(before), format_credits(after)
    return Change("grant", f"<@{member}>", *values, member_id=member, reason=reason)


def reset_credits(connection: sqlite3.Connection, *, guild_id: int, member: int) -> Change | None:
    """Let a member's credits of the last 24 hours no longer count. Returns None if they used none."""
    now = int(time.time())
    if not ledger.used(connection, member, guild_id, now):
        return None
    forgiven = ledger.reset(connection, member, guild_id, now)
    return Change("reset", f"<@{member}>", credits_text(forgiven), "0", member_id=member)
