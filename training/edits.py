"""Measure how well the demo model edits: ``python -m training.evaluate --edit``.

One part of a drawn scene is changed: once by the caption of the changed scene alone (img2img) and once with a mask, too
(inpainting). The result is read back from its pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from training.captions import plain_caption
from training.generate import STEPS, draw_requests
from training.reading import Reading, read
from training.scenes import (
    COLOURS,
    SHAPES,
    Scene,
    draw,
    held_out_scenes,
    paint,
    pick_brush,
)
from zimage_engine.catalog import find_profile
from zimage_engine.model.model import ZImageModel
from zimage_engine.pixels import to_png
from zimage_engine.types import ImageRequest

Kind = Literal["colour", "shape", "background"]
Part = Literal["made", "place", "rest", "outside"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_TITLES: dict[Part, str] = {
    "made": "change made",
    "place": "place kept",
    "rest": "rest kept",
    "outside": "outside unchanged",
}
_GOALS: dict[Part, float] = {"made": 0.85, "place": 0.85, "outside": 1.0}
_SIDE = 256
_CELL = 16
_MASK_MARGIN = 8
_MOVED_MAX = 0.08
# One for each number of steps from 3 to 8: of 8 steps, 0.4 and 0.5 run the same number, as do 0.9 and 1.
_STRENGTHS = (0.3, 0.5, 0.6, 0.7, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class EditCase:
    """One change to a picture. ``seed`` is used for drawing the picture and for the model's noise."""

    kind: Kind
    before: Scene
    after: Scene
    seed: int

    def picture(self) -> Image.Image:
        """Return the picture to change, 256², as the recipe draws it."""
        return draw(self.before, _SIDE, _SIDE, np.random.default_rng(self.seed))

    def mask(self) -> Image.Image:
        """Return the mask that a person would make, as L: 255 to repaint.

        For another colour that is the figure and 8 pixels around it; for another shape its box and 8 pixels, since a
        star leaves no room for a square; for another background everything but the figure.
        """
        brush = pick_brush(self.before, _SIDE, _SIDE, np.random.default_rng(self.seed))
        white_on_black = replace(brush, colour=(255, 255, 255), background=(0, 0, 0))
        figure = paint(self.before.shape, white_on_black, _SIDE, _SIDE).convert("L")
        if self.kind == "background":
            return ImageOps.invert(figure)
        if self.kind == "shape":
            figure.paste(255, figure.getbbox())
        return figure.filter(ImageFilter.MaxFilter(2 * _MASK_MARGIN + 1))

    def by_prompt(self, strength: float, *, say_place: bool = True) -> ImageRequest:
        """Return the edit by the changed scene's caption alone; ``say_place`` False leaves the place out of it."""
        return ImageRequest(
            id=f"{self.seed}",
            prompt=plain_caption(self.after if say_place else replace(self.after, place="centre")),
            width=_SIDE,
            height=_SIDE,
            steps=STEPS,
            seed=self.seed,
            original=to_png(self.picture()),
            strength=strength,
        )

    def by_mask(self) -> ImageRequest:
        """Return the edit by caption and mask, with everything outside the mask kept."""
        return replace(self.by_prompt(strength=1.0), mask=to_png(self.mask()), keep_outside=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an edit achieved.

    ``made``: the part reads as requested. ``place``: the figure's centre moved by less than 8 % of the width.
    ``rest``: all other parts read as before. ``outside``: every pixel outside the mask, grown to whole cells, is the
    original's; None without a mask.
    """

    kind: Kind
    made: bool
    place: bool
    rest: bool
    outside: bool | None


def some_edits(count: int) -> list[EditCase]:
    """Return ``count`` edits (247 at most), equally many of each kind, that lead to held-out scenes.

    They start from a held-out scene, too, if there is one.
    """
    rng = np.random.default_rng(0)
    edits: list[EditCase] = []
    for seed, after in enumerate(held_out_scenes(count)):
        kind = KINDS[seed % len(KINDS)]
        starts = _scenes_differing_in(after, kind)
        starts = [scene for scene in starts if scene.held_out] or starts
        edits.append(EditCase(kind, starts[int(rng.integers(len(starts)))], after, seed))
    return edits


def _scenes_differing_in(scene: Scene, kind: Kind) -> list[Scene]:
    match kind:
        case "colour":
            others = [replace(scene, colour=colour) for colour in COLOURS]
        case "shape":
            others = [replace(scene, shape=shape) for shape in SHAPES]
        case "background":
            others = [replace(scene, background=colour) for colour in COLOURS]
    return [other for other in others if other != scene and other.colour != other.background]


def judge(edit: EditCase, request: ImageRequest, drawn: Image.Image) -> Outcome:
    """Read the edited picture back and compare it with the one before."""
    before, after = read(edit.picture()), read(drawn)
    wrong = _differences(edit.after, after)
    moved = math.hypot(after.centre[0] - before.centre[0], after.centre[1] - before.centre[1])
    return Outcome(
        kind=edit.kind,
        made=edit.kind not in wrong,
        place=after.colour is not None and moved < _MOVED_MAX,
        rest=not set(wrong) - {edit.kind},
        outside=None if request.mask is None else _outside_is_kept(edit.picture(), edit.mask(), drawn),
    )


def _differences(scene: Scene, other: Scene | Reading) -> list[str]:
    return [part.name for part in fields(Scene) if getattr(scene, part.name) != getattr(other, part.name)]


def _outside_is_kept(before: Image.Image, mask: Image.Image, after: Image.Image) -> bool:
    marked = np.asarray(mask).reshape(_SIDE // _CELL, _CELL, _SIDE // _CELL, _CELL).max(axis=(1, 3)) >= 128
    outside = ~marked.repeat(_CELL, 0).repeat(_CELL, 1)
    return np.array_equal(np.asarray(before)[outside], np.asarray(after)[outside])


def try_edits(
    model: ZImageModel, edits: Sequence[EditCase], ask: Callable[[EditCase], ImageRequest]
) -> tuple[list[Image.Image], list[Outcome]]:
    """Return the model's pictures for the edits, each requested by ``ask``, and how well they succeeded."""
    requests = [ask(edit) for edit in edits]
    pictures = draw_requests(model, requests)
    return pictures, [judge(*tried) for tried in zip(edits, requests, pictures, strict=True)]


def measure_edits(model: ZImageModel, count: int) -> list[str]:
    """Print the table for each way to edit. Returns a phrase for each goal that is missed."""
    edits, strength = some_edits(count), find_profile("demo").strength
    print(f"{len(edits)} edits to held-out scenes, {_SIDE} × {_SIDE}, {STEPS} steps\n")
    _print_row("by", "change of", *_TITLES.values())
    _print_row(*["---"] * (2 + len(_TITLES)))
    ways: dict[str, Callable[[EditCase], ImageRequest]] = {
        f"prompt, strength {strength:g}": partial(EditCase.by_prompt, strength=strength),
        "prompt and mask": EditCase.by_mask,
    }
    missed: list[str] = []
    for way, ask in ways.items():
        _, outcomes = try_edits(model, edits, ask)
        for kind in KINDS:
            _print_row(way, kind, *(_percent(_share(outcomes, part, kind)) for part in _TITLES))
        cells: list[str] = []
        for part, title in _TITLES.items():
            share, goal = _share(outcomes, part), _GOALS.get(part)
            cells.append(_percent(share) + (f" (≥ {goal:.0%})" if goal and share is not None else ""))
            if goal and share is not None and share < goal:
                missed.append(f"{way}: {title} {share:.1%}, goal {goal:.0%}")
        _print_row(way, "all", *cells)
    return missed


def measure_strengths(model: ZImageModel, count: int) -> None:
    """Print the success of edits by prompt at each strength, to choose the profile's default from.

    The last column is for figures off the centre whose captions do not say the place: only the picture can keep it.
    """
    edits = some_edits(count)
    off_centre = [edit for edit in edits if edit.after.place != "centre"]
    print(f"{len(edits)} edits by prompt to held-out scenes, {_SIDE} × {_SIDE}, {STEPS} steps\n")
    shown: tuple[Part, ...] = ("made", "place", "rest")
    titles = ["strength", "steps run", *KINDS, *(_TITLES[part] for part in shown), "place kept, unsaid"]
    _print_row(*titles)
    _print_row(*["---"] * len(titles))
    for strength in _STRENGTHS:
        _, outcomes = try_edits(model, edits, partial(EditCase.by_prompt, strength=strength))
        _, unsaid = try_edits(model, off_centre, partial(EditCase.by_prompt, strength=strength, say_place=False))
        shares = [_share(outcomes, "made", kind) for kind in KINDS]
        shares += [_share(outcomes, part) for part in shown] + [_share(unsaid, "place")]
        _print_row(f"{strength:g}", f"{edits[0].by_prompt(strength).real_steps}", *map(_percent, shares))


def draw_strip(model: ZImageModel) -> Image.Image:
    """Return six edits in columns: the picture before, changed by prompt, the mask, changed by prompt and mask."""
    edits, strength = some_edits(6), find_profile("demo").strength
    by_prompt, _ = try_edits(model, edits, partial(EditCase.by_prompt, strength=strength))
    by_mask, _ = try_edits(model, edits, EditCase.by_mask)
    masks = [edit.mask() for edit in edits]
    rows = {
        "before": [edit.picture() for edit in edits],
        "prompt": by_prompt,
        "mask": masks,
        "prompt\nand mask": by_mask,
    }
    side, gap, margin = 150, 6, 76
    strip = Image.new("RGB", (margin + len(edits) * (side + gap), gap * 4 + len(rows) * (side + gap)), "white")
    pen, font = ImageDraw.Draw(strip), ImageFont.load_default(13)
    for column, edit in enumerate(edits):
        change = f"{getattr(edit.before, edit.kind)} to {getattr(edit.after, edit.kind)}"
        pen.text((margin + column * (side + gap) + side / 2, gap * 2), change, "black", font, anchor="mm")
    for row, (name, pictures) in enumerate(rows.items()):
        top = gap * 4 + row * (side + gap)
        pen.multiline_text((margin - gap, top + side / 2), name, "black", font, anchor="rm", align="right")
        for column, picture in enumerate(pictures):
            strip.paste(picture.resize((side, side)).convert("RGB"), (margin + column * (side + gap), top))
    return strip


def _share(outcomes: Sequence[Outcome], part: Part, kind: Kind | None = None) -> float | None:
    """Return the share of the outcomes (of that kind) in which that part is True; None if it does not apply."""
    found = [getattr(outcome, part) for outcome in outcomes if kind in (None, outcome.kind)]
    return None if None in found else sum(found) / len(found)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _print_row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)
