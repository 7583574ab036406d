"""A moving picture of what a browser's tab shows."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops
from playwright.async_api import Page

_MOVING_MS = 6500
_LONGEST_MS = 350
_SHORTEST_MS = 50
_QUALITY = 75
_NOISE = 12  # of 255
_CARET = 3  # pixels


class Recording:
    """Frames of a tab. Played, they stand still where that was asked for, and the rest passes in six seconds."""

    def __init__(self) -> None:
        self._frames: list[tuple[float, bytes]] = []
        self._held: dict[int, int] = {}

    def add(self, data: bytes, seconds: float) -> None:
        """Add a frame that was shown from ``seconds`` on."""
        self._frames.append((seconds, data))

    def hold(self, milliseconds: int) -> None:
        """Let the newest frame stand for this time, so that people can look at it."""
        self._held[len(self._frames) - 1] = milliseconds

    def frames(self) -> list[tuple[Image.Image, int]]:
        """Return the frames to play, and the milliseconds for each."""
        changes = self._changes()
        moving = sum(stands for _, stands, held in changes if not held)
        speed = max(1.0, moving / _MOVING_MS)
        played: list[tuple[Image.Image, int]] = []
        skipped = 0.0
        for picture, stands, held in changes:
            skipped += held or stands / speed
            if held or skipped >= _SHORTEST_MS:
                played.append((picture, round(skipped)))
                skipped = 0.0
        return played

    def _changes(self) -> list[tuple[Image.Image, int, int]]:
        """Return frames that differ from the one before, the milliseconds that each stood, and shall stand or 0."""
        ends = [began for began, _ in self._frames[1:]] + [self._frames[-1][0]]
        changes: list[tuple[Image.Image, int, int]] = []
        for index, ((began, data), ended) in enumerate(zip(self._frames, ends, strict=True)):
            picture = Image.open(BytesIO(data)).convert("RGB")
            stood, held = round((ended - began) * 1000), self._held.get(index, 0)
            if changes and _is_same(changes[-1][0], picture):
                picture, before, held_before = changes.pop()
                stood, held = before + stood, max(held_before, held)
            changes.append((picture, min(stood, _LONGEST_MS), held))
        return changes

    def save(self, path: Path) -> None:
        """Save an animated WebP that is repeated for ever."""
        pictures, milliseconds = zip(*self.frames(), strict=True)
        pictures[0].save(
            path,
            save_all=True,
            append_images=pictures[1:],
            duration=list(milliseconds),
            loop=0,
            quality=_QUALITY,
            method=4,
        )


def _is_same(one: Image.Image, other: Image.Image) -> bool:
    """Tell whether nothing has changed but the blinking caret."""
    changed = ImageChops.difference(one, other).convert("L").point(lambda value: 255 * (value > _NOISE)).getbbox()
    return changed is None or changed[2] - changed[0] <= _CARET


@asynccontextmanager
async def record(page: Page) -> AsyncIterator[Recording]:
    """Record what a tab shows, as often as it changes."""
    recording = Recording()
    session: Any = await page.context.new_cdp_session(page)
    asking: set[asyncio.Future[Any]] = set()

    def on_frame(frame: dict[str, Any]) -> None:
        recording.add(base64.b64decode(frame["data"]), frame["metadata"]["timestamp"])
        asked = asyncio.ensure_future(session.send("Page.screencastFrameAck", {"sessionId": frame["sessionId"]}))
        asking.add(asked)  # for the next frame
        asked.add_done_callback(asking.discard)

    session.on("Page.screencastFrame", on_frame)
    await session.send("Page.startScreencast", {"format": "png"})
    try:
        yield recording
    finally:
        await session.send("Page.stopScreencast")
        await asyncio.gather(*asking)
        await session.detach()
