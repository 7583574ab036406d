"""The parts of SimCord that the playground uses and that SimCord does not promise to keep."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bot.errors import StartupError

REPLACED = {"session.js": ("interval = 500", "interval = 150")}
"""What is replaced in SimCord's scripts, by file: previews change more often than its page asks for news."""

_NAMES = {
    "simcord.Env": (
        "_generation _loop _runtime _virtual_time _record_error _settle_internal _schedule_timer "
        "_register_dispatch_observer"
    ),
    "simcord._dpy_internals": "real_monotonic",
    "simcord.backend.cdn.CdnStore": "_blobs",
    "simcord.builders.UserHandle": "_user",
    "simcord.actors": "_resolve_visible_command _dispatch_actor_interaction",
    "simcord.preview.Preview": (
        "_open_page _get_page _publish _action _prepare_asset _page_payload _target_message _advance_presentation_time "
        "_action_page _reset_queries _redact_page_receipts _clear_page_assets _blobs _pages _server"
    ),
    "simcord.preview._pages._Page": (
        "channel_id generation modal modal_handle revision assets status target_id viewer window_end_id"
    ),
    "simcord.preview._assets._Asset": "contentType digest filename",
    "simcord.preview._assets._Blob": "data",
    "simcord.preview._server": "_read_json_body",
    "simcord.preview._server.PreviewServer": (
        "_STATIC_FILES _SECURITY_HEADERS _allowed_hosts _authorized _index _static _delete_page _state _commands "
        "_action_result _action _asset _requested_port"
    ),
}
"""Private names by the module or class that has them."""


def check_simcord() -> None:
    """Raise :class:`StartupError` if the installed SimCord lacks a part that the playground uses."""
    for owner, names in _NAMES.items():
        for name in names.split():
            if not _has(_find(owner), name):
                raise StartupError(_sentence(f"{owner}.{name}"))
    static = Path(_find("simcord.preview").__file__).with_name("static")
    for file, (old, _) in REPLACED.items():
        if old not in (static / file).read_text(encoding="utf-8"):
            raise StartupError(_sentence(f"{file}: {old}"))


def _find(path: str) -> Any:
    """Return a module, or a class in one; None if there is no such class."""
    module, _, name = path.rpartition(".")
    try:
        return importlib.import_module(path)
    except ImportError:
        return getattr(_find(module), name, None)


def _has(owner: Any, name: str) -> bool:
    """Return whether a module or a class has a name, or else the class's ``__init__`` sets it."""
    code = getattr(getattr(owner, "__init__", None), "__code__", None)
    return hasattr(owner, name) or name in getattr(code, "co_names", ())


def _sentence(part: str) -> str:
    return (
        f"SimCord {version('simcord')} does not fit this playground (it lacks {part}): install the one that "
        "zimage-bot names, `pip install '.[playground]'` in the project's folder."
    )
