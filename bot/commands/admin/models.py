"""``/admin models``: which of the bot's models the members of this server may use."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Any

import discord
from discord import app_commands

from bot.commands.admin.context import AdminContext, answer, bots_ask_for_nothing, guild_of
from bot.commands.option_parameters import model_choices
from bot.commands.parts import BotParts
from bot.errors import Refusal
from bot.inert import cut, in_quotes
from bot.requests.models import Models
from bot.store import model_rules
from bot.store.audit import Change
from bot.store.model_rules import EVERYONE, ModelRule
from bot.store.moderation import Rule
from bot.views.text import MESSAGE_LIMIT
from zimage_engine.catalog import either

_VERBS: dict[Rule, str] = {"allow": "may use", "deny": "may not use"}


def add_to(admin: app_commands.Group, parts: BotParts) -> None:
    """Add ``/admin models`` if there are several."""
    context, models = parts.admin, parts.jobs.models
    if not models.several:
        return
    group = app_commands.Group(name="models", description="Which models members may use", parent=admin)
    choices = model_choices(models)
    described = app_commands.describe(model="Which model", role="A role, or @everyone; everyone if left out")

    @group.command(name="allow", description="Allow a model to a role; it outweighs what is denied to everyone")
    @described
    @app_commands.choices(**choices)
    async def allow(interaction: discord.Interaction[Any], model: str, role: discord.Role | None = None) -> None:
        await _set(interaction, context, models, model, role, "allow")

    @group.command(name="deny", description="Deny a model to a role, or to everyone whose roles do not allow it")
    @described
    @app_commands.choices(**choices)
    async def deny(interaction: discord.Interaction[Any], model: str, role: discord.Role | None = None) -> None:
        await _set(interaction, context, models, model, role, "deny")

    @group.command(name="clear", description="Remove a rule: the one for everyone applies again, else all may use it")
    @described
    @app_commands.choices(**choices)
    async def clear(interaction: discord.Interaction[Any], model: str, role: discord.Role | None = None) -> None:
        await _set(interaction, context, models, model, role, None)

    @group.command(name="show", description="The rules for models, and what follows from them")
    async def show(interaction: discord.Interaction[Any]) -> None:
        rules = await context.database.read(partial(model_rules.rules_of, guild_id=guild_of(interaction)))
        await answer(interaction, cut("\n".join(_lines(rules, models)), MESSAGE_LIMIT))


async def _set(
    interaction: discord.Interaction[Any],
    context: AdminContext,
    models: Models,
    model: str,
    role: discord.Role | None,
    rule: Rule | None,
) -> None:
    """Set or clear a rule. Raises :class:`Refusal` if there is no such model, or nothing to clear."""
    if models.named(model) is None:
        raise Refusal(f"There is no model {in_quotes(model, 30)}: take {either(models.names)}.")
    if role is not None and role.is_bot_managed():
        raise bots_ask_for_nothing("they need no models")
    role_id = EVERYONE if role is None or role.is_default() else role.id
    row = await context.change(
        interaction,
        partial(write_rule, guild_id=guild_of(interaction), role_id=role_id, model=model, rule=rule),
    )
    whom = _whom(role_id)
    if row is None and rule is None:
        raise Refusal(f"There is no rule about `{model}` for {whom}; /admin models show lists all rules.")
    if rule is None:
        await answer(interaction, f"The rule about `{model}` for {whom} is cleared.")
    else:
        same = "" if row is not None else ", as before"
        await answer(interaction, f"{_sentence(ModelRule(role_id, model, rule))}{same}.")


def write_rule(
    connection: sqlite3.Connection,
    *,
    guild_id: int,
    role_id: int,
    model: str,
    rule: Rule | None,
) -> Change | None:
    """Set the rule of a role about a model, or take it away (None). Returns None if it was so already."""
    before = model_rules.write_rule(connection, guild_id, role_id, model, rule)
    if before == rule:
        return None
    action = f"models {rule or 'clear'}"
    return Change(action, f"{model} for {_whom(role_id)}", before or "no rule", rule or "no rule")


def _whom(role_id: int) -> str:
    return "everyone" if role_id == EVERYONE else f"<@&{role_id}>"


def _sentence(rule: ModelRule) -> str:
    if rule.role_id == EVERYONE and rule.rule == "deny":
        return f"Nobody may use `{rule.model}` unless a role of theirs allows it"
    whom = _whom(rule.role_id)
    return f"{whom[:1].upper()}{whom[1:]} {_VERBS[rule.rule]} `{rule.model}`"


def _lines(rules: list[ModelRule], models: Models) -> list[str]:
    """Return a line for each rule about a model that the bot has, and what applies to the others."""
    shown = [f"{_sentence(rule)}." for rule in rules if rule.model in models.names]
    free = [name for name in models.names if not any(rule.model == name for rule in rules)]
    if free:
        shown += [f"No rule is about `{name}`: everyone may use it." for name in free]
    return [*shown, "-# What a role of theirs allows outweighs what another role, or everyone, is denied."]
