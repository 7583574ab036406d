"""Small JSON files in the cache folder: what was measured or computed here, and can be again."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def read_cached(path: Path | None) -> dict[str, Any]:
    """Return the object in the file; an empty one if there is no file or it cannot be read."""
    if path is None or not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        log.warning("%s cannot be read; what it held is measured again", path)
        return {}


def write_cached(path: Path | None, content: Mapping[str, Any]) -> None:
    """Replace the file's content in one move. If that fails, the next start measures again."""
    if path is None:
        return
    partial = path.with_suffix(f".{os.getpid()}.partial")  # workers of several devices may write at once
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(content, indent=2), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        log.warning("%s cannot be written (%s); the next start measures again", path, error.strerror)
