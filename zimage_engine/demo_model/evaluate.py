"""Measure the shipped demo model: ``python -m zimage_engine.demo_model.evaluate``.

Draws scenes that training never saw with the product's own engine, reads each picture back from its pixels
and prints, for each set, how many show what was asked for. Exit status 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from zimage_engine.demo_model.captions import Language, plain_caption
from zimage_engine.demo_model.reading import Reading, read
from zimage_engine.demo_model.scenes import Scene, every_scene
from zimage_engine.loading import complete_profile, load_components
from zimage_engine.model import ZImageModel
from zimage_engine.profiles import Size, find_profile
from zimage_engine.types import ImageRequest

PARTS = ("colour", "background", "place", "size", "shape")
_STEPS = 8


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
    TestSet("512 × 512, English", Size(512, 512), "en", {}),
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


def draw_prompt(model: ZImageModel, prompt: str, size: Size, seed: int) -> Image.Image:
    """One picture in eight steps."""
    request = ImageRequest("0", prompt, size.width, size.height, _STEPS, seed)
    drawing = model.start(request)
    for _ in range(_STEPS):
        model.step([drawing])
    image = model.decode(drawing)
    return Image.frombytes("RGB", (image.width, image.height), image.data)


def draw_all(model: ZImageModel, scenes: list[Scene], test: TestSet) -> Iterator[tuple[Scene, Image.Image]]:
    """Each scene drawn from its plain caption, with its index as the seed."""
    for index, scene in enumerate(scenes):
        yield scene, draw_prompt(model, plain_caption(scene, test.language), test.size, index)


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
        seen = [(scene, read(picture)) for scene, picture in draw_all(model, scenes, test)]
        cells: list[str] = []
        for part in PARTS:
            share, goal = share_right(part, seen), test.goals.get(part)
            cells.append(f"{share:.1%}" + (f" (≥ {goal:.0%})" if goal else ""))
            if goal and share < goal:
                missed.append(f"{test.title}: {part} {share:.1%}, goal {goal:.0%}")
        print(f"| {test.title} | {' | '.join(cells)} |", flush=True)
    return missed


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--scenes", type=int, default=200, help="held-out scenes in each set (247 at most)")
    options.add_argument("--gallery", type=Path, help="only draw the README's picture, to this file")
    chosen = options.parse_args()
    device = torch.device("cpu")
    profile = complete_profile(find_profile("demo"))
    model = ZImageModel(load_components(profile, device, torch.float32), device)
    if chosen.gallery:
        pictures = [draw_prompt(model, prompt, Size(256, 256), seed) for seed, prompt in enumerate(_GALLERY)]
        contact_sheet(pictures, columns=4, side=200).save(chosen.gallery)
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
