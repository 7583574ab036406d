"""The buttons and selects that survive a restart."""

from __future__ import annotations

from typing import Any

import bot.client  # noqa: F401 - imports every module that has some
from bot.views.base import SafeDynamicItem

Kind = type[SafeDynamicItem[Any]]


def dynamic_items() -> list[Kind]:
    """Return every kind: the classes below :class:`SafeDynamicItem` that have none below them."""
    return _leaves(SafeDynamicItem)


def matching(custom_id: str) -> list[Kind]:
    """Return the kinds whose template takes the ``custom_id``."""
    return [kind for kind in dynamic_items() if kind.__discord_ui_compiled_template__.match(custom_id)]


def _leaves(kind: Kind) -> list[Kind]:
    below = kind.__subclasses__()
    return [leaf for each in below for leaf in _leaves(each)] if below else [kind]
