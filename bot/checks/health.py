"""Asks a running bot whether it is well: for ``zimage-bot health``, containers and ``doctor``."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from bot.checks.finding import Finding, Surroundings
from bot.errors import StartupError
from bot.settings import Settings
from bot.store.data_lock import is_in_use

_SECONDS = 8.0


def check_health(around: Surroundings) -> Iterator[Finding]:
    """Ask the bot that uses the data folder, if one does and ``METRICS_ADDR`` is set."""
    settings = around.settings
    if settings.metrics_address is None or not is_in_use(settings.data_dir):
        return
    wrong = [f"{name}: {problem}" for name, problem in read_health(settings).items() if problem != "ok"]
    yield Finding("health", ok=not wrong, text="; ".join(wrong) or "the bot that runs says that it is well.")


def read_health(settings: Settings) -> dict[str, str]:
    """Return the checks of ``/healthz`` by name, each "ok" or what is wrong. Blocks for up to eight seconds.

    Raises :class:`StartupError` if ``METRICS_ADDR`` is not set or nothing answers there.
    """
    address = settings.metrics_address
    if address is None:
        raise StartupError("METRICS_ADDR is not set: set it to 127.0.0.1:9464, for this command and the bot alike.")
    host, port = address
    # A bot that listens on all addresses is asked on this machine's own.
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by a proxy
    try:
        with opener.open(f"http://{shown}:{port}/healthz", timeout=_SECONDS) as answer:
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code != 503:
            raise StartupError(f"What answers at {shown}:{port} is not a zimage-bot: it says {error.code}.") from error
        found = json.load(error)
    except (OSError, ValueError) as error:
        raise StartupError(
            f"No bot answers at {shown}:{port} (METRICS_ADDR): start it, and wait until it is connected."
        ) from error
    return dict(found["checks"])
