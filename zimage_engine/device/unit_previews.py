"""The previews of a step: which requests want one, and those for which there is time."""

from __future__ import annotations

import logging

from zimage_engine.device.begun import Begun
from zimage_engine.model.previews import TIME_SHARE_MAX
from zimage_engine.types import RawImage, Unit

log = logging.getLogger(__name__)


def note_expected(unit: Unit, begun: Begun) -> None:
    """Keep the latents for previews: the next step replaces them. The last step's picture is decoded next."""
    if begun.previewer is None or unit is not Unit.DENOISE:
        return
    for each in begun.held:
        generation = each.generation
        if not each.previews or generation is None or generation.step == each.request.steps:
            continue
        if generation.expected is not None:
            begun.expected.append((each, generation.expected))


def make_previews(begun: Begun, seconds: float) -> tuple[dict[str, RawImage], float]:
    """Return the previews there is time for after a step of ``seconds``, and the seconds that they took."""
    previews: dict[str, RawImage] = {}
    total = 0.0
    for held, expected in begun.expected:
        generation, name = held.generation, held.request.id
        if begun.previewer is None or generation is None or name in begun.failures:
            continue
        generation.preview_allowance += TIME_SHARE_MAX * seconds / len(begun.expected)
        try:
            image, spent = begun.previewer.preview(expected, generation.preview_allowance)
        except Exception:
            # The picture itself goes on.
            log.exception("a preview failed; no more of them for request=%s", name)
            held.previews = False
            continue
        generation.preview_allowance -= spent
        total += spent
        if image is not None:
            previews[name] = image
    return previews, total
