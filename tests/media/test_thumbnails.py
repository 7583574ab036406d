"""Thumbnails lie beside the pictures, are small, and go with their pictures."""

from __future__ import annotations

import os
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bot.media import files, thumbnails
from bot.media.files import remove_files, thumbnail_path
from bot.media.thumbnails import add_thumbnail, keep_thumbnail, read_thumbnail, sweep_thumbnails

NAME = "0123456789ab.png"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """The file of a picture of 1024 × 512 pixels, without a thumbnail."""
    path = tmp_path / "images" / NAME
    path.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((1024, 512)).save(path)
    return path


def kept(picture: Path) -> list[str]:
    return sorted(path.name for path in thumbnail_path(picture).parent.glob("*"))


def test_it_is_small_and_is_made_once(picture: Path) -> None:
    assert read_thumbnail(picture) is None
    made = add_thumbnail(picture)
    assert Image.open(BytesIO(made)).size == (320, 160)
    assert len(made) < 20_000
    assert read_thumbnail(picture) == made
    assert kept(picture) == ["0123456789ab.webp"]


def test_it_goes_with_its_picture(picture: Path) -> None:
    add_thumbnail(picture)
    assert remove_files(picture.parent, [NAME]) == 0
    assert kept(picture) == []


def test_without_its_picture_it_is_not_shown_and_is_swept_unless_it_is_young(picture: Path) -> None:
    add_thumbnail(picture)
    now = time.time()
    os.utime(thumbnail_path(picture), (now - 10, now - 10))
    assert sweep_thumbnails(picture.parent, now) == 0
    picture.unlink()
    assert read_thumbnail(picture) is None
    with pytest.raises(FileNotFoundError):
        add_thumbnail(picture)
    assert sweep_thumbnails(picture.parent, now - 60) == 0
    assert sweep_thumbnails(picture.parent, now) == 1
    assert kept(picture) == []


def test_a_picture_that_is_deleted_while_its_thumbnail_is_written_leaves_none(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_late(path: Path, data: bytes) -> None:
        remove_files(picture.parent, [NAME])
        files.write_file(path, data)

    monkeypatch.setattr(thumbnails, "write_file", write_late)
    add_thumbnail(picture)
    assert kept(picture) == []


def test_one_that_cannot_be_written_is_returned_all_the_same(picture: Path) -> None:
    thumbnail_path(picture).parent.write_bytes(b"a file where the folder belongs")
    assert keep_thumbnail(picture, Image.new("RGB", (640, 640)))
