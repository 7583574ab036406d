"""Creates the client, for ``zimage-bot run``, the playground and the tests alike."""

from __future__ import annotations

from bot.client import ZImageBot
from bot.services import Services, StartEngine
from bot.settings import Settings
from zimage_engine.engine import Engine


def create_client(settings: Settings, *, start_engine: StartEngine = Engine.start) -> ZImageBot:
    """Return the client, not yet connected. Tests give another ``start_engine``."""
    return ZImageBot(settings, Services(settings, start_engine))
