"""Which models the members of a server may use. Functions are part of a transaction.

A model is named by its profile's name. The rules of a member's roles outweigh the one for everyone, and of several
roles the one that allows; what no rule is about is allowed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.store.limits import Requester
from bot.store.moderation import Rule

EVERYONE = 0
"""The ``role_id`` of rules for every member of a server."""


@dataclass(frozen=True, slots=True)
class ModelRule:
    """Whether members with a role, or :data:`EVERYONE`, may use a model."""

    role_id: int
    model: str
    rule: Rule


def rules_of(connection: sqlite3.Connection, guild_id: int) -> list[ModelRule]:
    """Return a server's rules, those for everyone first."""
    rows = connection.execute(
        "SELECT role_id, model, rule FROM model_rules WHERE guild_id = ? ORDER BY role_id, model", (guild_id,)
    )
    return [ModelRule(**dict(row)) for row in rows]


def write_rule(
    connection: sqlite3.Connection, guild_id: int, role_id: int, model: str, rule: Rule | None
) -> Rule | None:
    """Set the rule of a role for a model, or delete it (None). Returns the rule that there was."""
    key = (guild_id, role_id, model)
    row = connection.execute(
        "SELECT rule FROM model_rules WHERE guild_id = ? AND role_id = ? AND model = ?", key
    ).fetchone()
    connection.execute("DELETE FROM model_rules WHERE guild_id = ? AND role_id = ? AND model = ?", key)
    if rule is not None:
        connection.execute("INSERT INTO model_rules (guild_id, role_id, model, rule) VALUES (?, ?, ?, ?)", (*key, rule))
    return row["rule"] if row is not None else None


def allowed_models(connection: sqlite3.Connection, requester: Requester, models: Sequence[str]) -> tuple[str, ...]:
    """Return those of the bot's models that the requester may use where they are; in direct messages, all of them.

    The rules are those of the server in which it happens, also for members who installed the bot for themselves.
    """
    if requester.guild_id is None or len(models) < 2:
        return tuple(models)
    rules = rules_of(connection, requester.guild_id)
    return tuple(model for model in models if _is_allowed(rules, model, requester.role_ids))


def _is_allowed(rules: Iterable[ModelRule], model: str, role_ids: Sequence[int]) -> bool:
    about = [rule for rule in rules if rule.model == model]
    of_roles = {rule.rule for rule in about if rule.role_id in role_ids and rule.role_id != EVERYONE}
    for_everyone = {rule.rule for rule in about if rule.role_id == EVERYONE}
    found = of_roles or for_everyone
    return "allow" in found or not found
