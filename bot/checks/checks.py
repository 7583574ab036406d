"""The one list of checks: ``doctor`` makes all of them, ``run`` those that must hold before it connects to Discord."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from bot.checks.account import check_account
from bot.checks.finding import Check, Finding, Surroundings
from bot.checks.health import check_health
from bot.checks.machine import (
    check_choice,
    check_cluster,
    check_device,
    check_owner,
    check_places,
    check_program,
)
from bot.checks.model import check_attention, check_previews, check_weights
from bot.checks.storage import check_database, check_disk, check_folders, check_lock
from bot.errors import DeviceGone, ExitStatus, NetworkDown, StartupError, TemporaryFault, status_of
from zimage_engine.types import EngineError

CHECKS = (
    Check("version", check_program),
    Check("data", check_folders, first=True),
    Check("lock", check_lock, first=True),
    Check("health", check_health),
    Check("disk", check_disk, first=True),
    Check("database", check_database, first=True),
    Check("device", check_device),
    Check("cluster", check_cluster, first=True),
    Check("profile", check_choice, first=True),
    Check("devices", check_places, first=True),
    Check("weights", check_weights, first=True),
    Check("attention", check_attention, first=True),
    Check("previews", check_previews, first=True),
    Check("token", check_account),
    Check("owner", check_owner),
)
_OF_WORKERS = ("version", "device", "profile", "weights", "attention", "previews")
_KINDS: dict[ExitStatus, type[StartupError]] = {
    each.exit_status: each for each in (StartupError, NetworkDown, TemporaryFault, DeviceGone)
}


def findings(around: Surroundings) -> Iterator[Finding]:
    """Yield what every check finds. Blocks."""
    for check in CHECKS:
        yield from _look(check, around)


def worker_findings(around: Surroundings) -> Iterator[Finding]:
    """Yield what the checks find that hold for a machine which only runs the model. Blocks."""
    for check in CHECKS:
        if check.name in _OF_WORKERS:
            yield from _look(check, around)


def check_first(around: Surroundings) -> None:
    """Raise :class:`StartupError` with the first fault that would keep the bot from working. Blocks.

    Each connection to Discord uses up one of the day's 1,000 sessions, so a supervisor that starts the bot again and
    again must not come that far.
    """
    for check in CHECKS:
        if check.first:
            for finding in _look(check, around):
                if finding.ok is False:
                    raise _KINDS[finding.status](finding.text)


def _look(check: Check, around: Surroundings) -> Iterator[Finding]:
    try:
        yield from check.look(around)
    except (EngineError, StartupError) as error:
        yield Finding(check.name, ok=False, text=str(error), status=status_of(error))
    except (OSError, sqlite3.Error) as error:
        yield Finding(check.name, ok=False, text=f"It cannot be looked at ({error}).")
