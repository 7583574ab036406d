"""Contact sheets: as many places as pictures, each in its own, and numbers on all of them."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from bot.media.contact_sheets import Contact, contact_sheet
from tests.helpers.pictures import picture_of

RED, GREEN = (255, 0, 0), (0, 255, 0)


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (512, 512)) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def boxes(sheet: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return the box around all pixels of a colour."""
    mask = Image.new("L", sheet.size)
    mask.putdata([255 * (pixel == colour) for pixel in sheet.getdata()])
    box = mask.getbbox()
    assert box is not None
    return box


@pytest.mark.parametrize(
    ("count", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 2, 2), (5, 3, 2), (9, 3, 3)]
)
def test_the_grid_suits_a_phone(count: int, columns: int, rows: int) -> None:
    sheet = picture_of(contact_sheet([Contact("seed 3", plain(RED))] * count))
    assert sheet.width == columns * 332 + 12
    assert round(sheet.height / rows / 400) == 1


def test_pictures_stand_in_their_order() -> None:
    sheet = picture_of(contact_sheet([Contact("seed 1", plain(RED)), Contact("seed 2", plain(GREEN, (512, 256)))]))
    red, green = boxes(sheet, RED), boxes(sheet, GREEN)
    assert red[2] <= green[0]
    assert (red[2] - red[0], red[3] - red[1]) == (320, 320)
    assert (green[2] - green[0], green[3] - green[1]) == (320, 160), "the shape is kept"


def test_each_picture_has_its_own_number_and_caption() -> None:
    sheet = picture_of(contact_sheet([Contact("seed 1", plain(RED)), Contact("seed 2", plain(RED))]))
    one, two = (sheet.crop((left, 12, left + 64, 76)) for left in (12, 344))
    assert one.tobytes() != two.tobytes()
    below = [sheet.crop((left, 334, left + 320, sheet.height)).tobytes() for left in (12, 344)]
    assert below[0] != below[1]


def test_a_picture_whose_file_is_gone_keeps_its_place() -> None:
    sheet = picture_of(contact_sheet([Contact("seed 1", None), Contact("seed 2", plain(RED))]))
    assert boxes(sheet, RED)[0] == 344
