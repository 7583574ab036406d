"""The profile pictures of the playground's people and of the bot."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from simcord.backend.cdn import CDN_BASE

_FOLDER = Path(__file__).parent / "static" / "playground"


def set_avatars(backend: Any, users: dict[str, Any]) -> None:
    """Give each simulated user the picture that is served as ``/playground/NAME.png``, by its name."""
    for name, user in users.items():
        data = (_FOLDER / f"{name}.png").read_bytes()
        user.avatar = hashlib.sha256(data).hexdigest()[:32]
        backend.cdn._blobs[f"{CDN_BASE}/avatars/{user.id}/{user.avatar}.png"] = data
