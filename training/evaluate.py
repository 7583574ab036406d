"""Measure the shipped demo model: ``python -m training.evaluate``.

Generates held-out scenes with the product's own engine, reads each picture back from its pixels
and prints, for each set, how many show what was asked for. With --edit it edits pictures instead.
Exit status 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from training.captions import Language, plain_caption
from training.edits import draw_strip, measure_edits, measure_strengths
from training.generate import STEPS, draw_requests, load_demo
from training.reading import Reading, read
from training.scenes import Scene, held_out_scenes
from zimage_engine.model.model import ZImageModel
from zimage_engine.profiles import Size
from zimage_engine.types import ImageRequest

PARTS = ("colour", "background", "place", "size", "shape")


@dataclass(frozen=True, slots=True)
class TestSet:
    """A row of the table: what is generated, and the smallest share that must read back right, by part."""

    title: str
    size: Size
    language: Language
    goals: dict[str, float]


_FULL = {"colour": 0.98, "background": 0.98, "place": 0.95, "size": 0.9, "shape": 0.9}
_CORE = {"colour": 0.9, "background": 0.9, "shape": 0.9}
_SETS = (
    TestSet("256 × 256, English", Size(256, 256), "en", _FULL),
    TestSet("256 × 256, Chinese", Size(256, 256), "zh", _CORE),
    TestSet("320 × 192, English", Size(320, 192), "en", _CORE),
    TestSet("192 × 320, English", Size(192, 320), "en", _CORE),
)

_GALLERY = (
    "a red circle on a blue background",
    "a large yellow star on a black background",
    "a small white heart on the left of a red background",
    "一个绿色的三角形，白色背景",
    "a purple square on the right of an orange background",
    "一个大的蓝色心形，黄色背景",
    "a black star on a green background",
    "white background, small orange circle, top",
)


def draw_prompts(model: ZImageModel, prompts: Sequence[str], size: Size) -> list[Image.Image]:
    """Return one picture for each prompt in eight steps, with its index as the seed."""
    asks = [ImageRequest(str(i), prompt, size.width, size.height, STEPS, i) for i, prompt in enumerate(prompts)]
    return draw_requests(model, asks)


def share_right(part: str, seen: list[tuple[Scene, Reading]]) -> float:
    """Return the share of the pictures in which that part reads as in the scene."""
    right = [bool(getattr(reading, part) == getattr(scene, part)) for scene, reading in seen]
    return sum(right) / len(right)


def measure(model: ZImageModel, count: int) -> list[str]:
    """Print the table, each row as soon as its set is done. Returns a phrase for each goal that is missed."""
    scenes = held_out_scenes(count)
    print(f"{len(scenes)} held-out scenes a set, {STEPS} steps\n")
    print(f"| set | {' | '.join(PARTS)} |\n|---|{'---|' * len(PARTS)}")
    missed: list[str] = []
    for test in _SETS:
        pictures = draw_prompts(model, [plain_caption(scene, test.language) for scene in scenes], test.size)
        seen = [(scene, read(picture)) for scene, picture in zip(scenes, pictures, strict=True)]
        cells: list[str] = []
        for part in PARTS:
            share, goal = share_right(part, seen), test.goals.get(part)
            cells.append(f"{share:.1%}" + (f" (≥ {goal:.0%})" if goal else ""))
            if goal and share < goal:
                missed.append(f"{test.title}: {part} {share:.1%}, goal {goal:.0%}")
        print(f"| {test.title} | {' | '.join(cells)} |", flush=True)
    return missed


def main() -> None:
    """Measure the shipped weights, or make the pictures of the README and of the page on editing."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--scenes", type=int, default=200, help="held-out scenes in each set (247 at most)")
    options.add_argument(
        "--edit", type=int, nargs="?", const=100, metavar="EDITS", help="measure edits: 100, up to 247"
    )
    options.add_argument("--strengths", action="store_true", help="compare the strengths of edits by prompt")
    options.add_argument("--gallery", type=Path, help="only draw the README's picture, or the edits', to this file")
    chosen = options.parse_args()
    model = load_demo()
    if chosen.gallery:
        (draw_strip(model) if chosen.edit else draw_gallery(model)).save(chosen.gallery)
        return
    if chosen.strengths:
        measure_strengths(model, chosen.edit or 100)
        return
    missed = measure_edits(model, chosen.edit) if chosen.edit else measure(model, chosen.scenes)
    if missed:
        raise SystemExit("\nMissed: " + "; ".join(missed))
    print("\nEvery goal is reached.")


def draw_gallery(model: ZImageModel) -> Image.Image:
    """Return the README's eight pictures in one."""
    return contact_sheet(draw_prompts(model, _GALLERY, Size(256, 256)), columns=4, side=200)


def contact_sheet(pictures: list[Image.Image], columns: int, side: int) -> Image.Image:
    """Return the pictures as small squares in rows."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * side, rows * side), "white")
    for index, picture in enumerate(pictures):
        sheet.paste(picture.resize((side - 4, side - 4)), (index % columns * side + 2, index // columns * side + 2))
    return sheet


if __name__ == "__main__":
    main()
