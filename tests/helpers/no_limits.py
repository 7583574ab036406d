"""Limits under which everything is allowed, for tests to set those that they are about."""

from __future__ import annotations

from bot.store.limits import LIMIT_NAMES, LimitName

NO_LIMITS: dict[LimitName, int | None] = dict.fromkeys(LIMIT_NAMES)
