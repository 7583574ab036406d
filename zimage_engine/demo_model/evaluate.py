"""Measure the shipped demo model: ``python -m zimage_engine.demo_model.evaluate``.

Draws scenes that training never saw with the product's own engine, reads each picture back from its pixels
and prints, for each set, how many show what was asked for. Exit status 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from zimage_engine.demo_model.captions import Language, plain_caption
from zimage_engine.demo_model.reading import Reading, read
from zimage_engine.demo_model.scenes import Scene, every_scene
from zimage_engine.loading import load_components, plan_for
from zimage_engine.model import ZImageModel
from zimage_engine.profiles import DEMO_WEIGHTS, Size
from zimage_engine.types import ImageRequest

PARTS = ("colour", "background", "place", "size", "shape")
_STEPS = 8
_BATCH = 8


@dataclass(frozen=True, slots=True)
class TestSet:
    """A row of the table: what is drawn, and the least share that must read back right, by part."""

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


def held_out_scenes(count: int) -> list[Scene]:
    """``count`` of the scenes that training never saw, spread evenly over all of them."""
    scenes = [scene for scene in every_scene() if scene.held_out]
    return [scenes[i * len(scenes) // count] for i in range(min(count, len(scenes)))]


def draw_prompts(model: ZImageModel, prompts: Sequence[str], size: Size) -> list[Image.Image]:
    """One picture for each prompt in eight steps, with its index as the seed."""
    asks = [ImageRequest(str(i), prompt, size.width, size.height, _STEPS, i) for i, prompt in enumerate(prompts)]
    pictures: list[Image.Image] = []
    for together in (asks[i : i + _BATCH] for i in range(0, len(asks), _BATCH)):
        drawings = [model.start(ask) for ask in together]
        for _ in range(_STEPS):
            model.step(drawings)
        images = [model.decode(drawing) for drawing in drawings]
        pictures += [Image.frombytes("RGB", (image.width, image.height), image.data) for image in images]
    return pictures


def share_right(part: str, seen: list[tuple[Scene, Reading]]) -> float:
    right = [bool(getattr(reading, part) == getattr(scene, part)) for scene, reading in seen]
    return sum(right) / len(right)


def measure(model: ZImageModel, count: int) -> list[str]:
    """Print the table, a row a set as soon as it is drawn; the goals that are missed, each as a sentence's part."""
    scenes = held_out_scenes(count)
    print(f"{len(scenes)} held-out scenes a set, {_STEPS} steps\n")
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
    """Measure the shipped weights, or draw the README's picture."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--scenes", type=int, default=200, help="held-out scenes in each set (247 at most)")
    options.add_argument("--gallery", type=Path, help="only draw the README's picture, to this file")
    chosen = options.parse_args()
    device = torch.device("cpu")
    plan = plan_for(DEMO_WEIGHTS, device, "float32")
    model = ZImageModel(load_components(DEMO_WEIGHTS, device, plan), device)
    if chosen.gallery:
        contact_sheet(draw_prompts(model, _GALLERY, Size(256, 256)), columns=4, side=200).save(chosen.gallery)
        return
    missed = measure(model, chosen.scenes)
    if missed:
        raise SystemExit("\nMissed: " + "; ".join(missed))
    print("\nEvery goal is reached.")


def contact_sheet(pictures: list[Image.Image], columns: int, side: int) -> Image.Image:
    """The pictures as small squares in rows."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * side, rows * side), "white")
    for index, picture in enumerate(pictures):
        sheet.paste(picture.resize((side - 4, side - 4)), (index % columns * side + 2, index // columns * side + 2))
    return sheet


if __name__ == "__main__":
    main()
