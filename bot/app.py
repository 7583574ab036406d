"""The one wiring for every way to run: ``zimage-bot run``, the playground, SimCord and the wire tests."""

from __future__ import annotations

from bot.client import ZImageBot
from bot.services import Services, StartEngine
from bot.settings import Settings
from zimage_engine.engine import Engine


def create_client(settings: Settings, *, start_engine: StartEngine = Engine.start) -> ZImageBot:
    """The whole program, not yet connected. ``start_engine`` lets tests drive another worker."""
    return ZImageBot(settings, Services(settings, start_engine))
