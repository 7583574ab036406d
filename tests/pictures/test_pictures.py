"""The pictures that README and docs show."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
PAGES = (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))


def test_every_picture_is_shown_and_every_shown_picture_exists() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in re.findall(r"!\[[^\]]+\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8"))
    }
    assert shown == set(IMAGES.iterdir())


def test_all_pictures_together_are_small() -> None:
    assert sum(path.stat().st_size for path in IMAGES.iterdir()) <= 1_500_000


def test_the_moving_picture_is_narrow_and_goes_on_for_ever() -> None:
    path = IMAGES / "playground.webp"
    assert path.stat().st_size <= 1_000_000
    with Image.open(path) as picture:
        assert picture.width <= 900
        assert picture.n_frames > 20
        assert picture.info["loop"] == 0
