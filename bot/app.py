"""Creates the client, for ``zimage-bot run``, the playground and the tests alike."""

from __future__ import annotations

from bot.client import ZImageBot
from bot.services import Services, StartEngine, engine_starter
from bot.settings import Settings


def create_client(settings: Settings, *, start_engine: StartEngine | None = None) -> ZImageBot:
    """Return the client, not yet connected. Tests give another ``start_engine``."""
    return ZImageBot(settings, Services(settings, start_engine or engine_starter(settings)))
