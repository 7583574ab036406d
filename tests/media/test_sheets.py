"""Comparison and family sheets: sizes, positions, and text in any script."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import simcord
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from bot.media.family_layout import CARD, MAX_RELATIVES, FamilyTree, nearest
from bot.media.fonts import FallbackFont
from bot.media.sheets import Relative, compare_sheet, family_sheet

RED, BLUE = (220, 40, 40), (30, 60, 200)
MARK = (250, 176, 5)
CHINESE = str(next((Path(simcord.__file__).parent / "preview" / "static" / "fonts").glob("noto-sans-sc*.ttf")))
TEXT = st.text(max_size=60) | st.text(max_size=500)


def png(colour: tuple[int, int, int] = RED, width: int = 64, height: int = 64, kind: str = "PNG") -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, kind)
    return buffer.getvalue()


def noise(side: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def opened(sheet: bytes) -> Image.Image:
    picture = Image.open(BytesIO(sheet))
    assert picture.format == "PNG"
    return picture.convert("RGB")


def relative(id_: str, parent: str | None = None, *, picture: bytes | None = None, marked: bool = False) -> Relative:
    return Relative(id_, parent, f"prompt of {id_}", "edit · strength 0.6", picture, marked)


def has_colour(picture: Image.Image, colour: tuple[int, int, int]) -> bool:
    return bool((np.asarray(picture) == colour).all(axis=2).any())


# Comparing


def test_both_stand_side_by_side_at_one_height() -> None:
    sheet = opened(compare_sheet(png(RED, 256, 256), png(BLUE, 320, 640, "WEBP"), "before", "after"))
    assert sheet.width == 640 + 10 + 320
    assert sheet.getpixel((639, 639)) == RED
    assert max(sheet.getpixel((645, 300))) < 50
    assert np.abs(np.subtract(sheet.getpixel((651, 0)), BLUE)).max() < 6
    assert 640 < sheet.height < 760


@settings(max_examples=25)
@given(st.tuples(*[st.integers(16, 1536)] * 4).filter(lambda n: max(n[0] / n[1], n[1] / n[0], n[2] / n[3]) <= 4))
def test_no_side_of_a_compared_picture_passes_1024_pixels(sides: tuple[int, int, int, int]) -> None:
    sheet = opened(compare_sheet(png(RED, *sides[:2]), png(BLUE, *sides[2:]), "", ""))
    assert sheet.height <= 1024
    assert sheet.width <= 2 * 1024 + 16


def test_captions_take_two_lines_at_most() -> None:
    heights = [opened(compare_sheet(png(), png(BLUE), text, "b")).height for text in ("", "a", "a " * 40, "红 " * 2000)]
    assert 512 < heights[0] == heights[1] < heights[2] == heights[3] < 640


# A family


def test_the_one_asked_about_is_framed_and_the_deleted_one_is_grey() -> None:
    family = [relative("a"), relative("b", "a", picture=png(RED), marked=True), relative("c", "b", picture=png(BLUE))]
    sheet = opened(family_sheet(family))
    (ax, ay), (bx, by), (cx, cy) = (tuple(map(int, place)) for place in FamilyTree(family).places.values())
    assert ax < bx < cx
    assert ay == by == cy
    assert sheet.getpixel((ax + 20, ay + 20)) == (78, 80, 88)
    assert sheet.getpixel((bx + 100, by + 100)) == RED
    assert sheet.getpixel((cx + 100, cy + 100)) == BLUE
    assert [sheet.getpixel((x - 2, y + 100)) == MARK for x, y in ((ax, ay), (bx, by), (cx, cy))] == [False, True, False]


def test_a_picture_keeps_its_shape() -> None:
    sheet = opened(family_sheet([relative("a", picture=png(RED, 400, 100))]))
    red = np.argwhere((np.asarray(sheet) == RED).all(axis=2))
    assert tuple(np.ptp(red, axis=0) + 1) == (48, 192)


def test_the_prompt_and_the_note_are_written() -> None:
    plain = Relative("a", None, "", "", None, marked=False)
    sheets = {family_sheet([changed]) for changed in (plain, replace(plain, prompt="cat"), replace(plain, note="cat"))}
    assert len(sheets) == 3


def test_the_nearest_forty_are_drawn_and_a_line_says_how_many_are_not() -> None:
    chain = [relative(str(n), str(n - 1) if n else None, marked=n == 50) for n in range(100)]
    assert [int(each.id) for each in nearest(chain)] == list(range(30, 70))
    with_more, without = opened(family_sheet(chain)), opened(family_sheet(nearest(chain)))
    assert with_more.width == without.width
    assert with_more.height > without.height
    assert with_more.crop((0, without.height, *with_more.size)).getextrema()[0][1] > 150


def test_siblings_are_near_and_other_roots_far() -> None:
    family = [relative(f"other {n}") for n in range(50)]
    family += [relative("root"), *(relative(f"child {n}", "root", marked=n == 0) for n in range(30))]
    ids = {each.id for each in nearest(family)}
    assert {"root", *(f"child {n}" for n in range(30))} <= ids
    assert len(ids) == MAX_RELATIVES


def test_a_ring_of_parents_is_drawn_all_the_same() -> None:
    assert len(FamilyTree([relative("a", "b"), relative("b", "a"), relative("c", "c")]).places) == 3
    assert opened(family_sheet([relative("a", "a", marked=True)])).width > CARD[0]


def family_of(parents: list[int | None]) -> list[Relative]:
    return [relative(str(n), None if parent is None else str(parent)) for n, parent in enumerate(parents)]


CHAIN = family_of([None, *range(39)])
STAR = family_of([None, *[0] * 39])
COMB = family_of([None, *range(19), *range(20)])
PAIRS = family_of([None if n % 2 == 0 else n - 1 for n in range(40)])
LONERS = family_of([None] * 40)
FANS = family_of([None, *range(7), *[7] * 32])


@pytest.mark.parametrize("family", [CHAIN, STAR, COMB, PAIRS, LONERS, FANS], ids=range(6))
def test_every_shape_of_family_stays_within_bounds(family: list[Relative]) -> None:
    picture = noise(192)
    sheet = family_sheet(
        [Relative(each.id, each.parent_id, "红" * 99, "x" * 99, picture, marked=True) for each in family]
    )
    assert len(sheet) <= 8_000_000
    assert max(opened(sheet).size) <= 4000


@pytest.mark.parametrize("family", [CHAIN, STAR, COMB, FANS], ids=range(4))
def test_a_family_from_one_root_is_drawn_at_full_scale(family: list[Relative]) -> None:
    tree = FamilyTree(family)
    assert max(tree.width, tree.height) <= 4000


@st.composite
def some_parents(draw: st.DrawFn) -> list[int | None]:
    """Draw each relative's parent: none, any earlier one, or one of the last few, which makes long chains."""
    later = range(1, draw(st.integers(1, MAX_RELATIVES)))
    return [None, *(draw(st.integers(max(0, n - 2), n - 1) | st.integers(0, n - 1) | st.none()) for n in later)]


@given(some_parents())
def test_no_card_covers_another_and_no_line_crosses_one(parents: list[int | None]) -> None:
    family = family_of(parents)
    tree = FamilyTree(family)
    boxes = {id_: (x, y, x + CARD[0], y + CARD[1]) for id_, (x, y) in tree.places.items()}
    assert boxes.keys() == {each.id for each in family}

    def touch(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
        return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]

    cards = list(boxes.values())
    assert not any(touch(a, b) for n, a in enumerate(cards) for b in cards[:n])
    for panel in tree.panels:
        inside = [box for box in cards if touch(panel, box)]
        assert all(panel[0] < box[0] and box[2] < panel[2] and panel[1] < box[1] for box in inside)
        assert len(inside) > 4
    for x, y, turn, end_x, end_y in tree.elbows:
        upright = (turn - 1, min(y, end_y) - 1, turn + 1, max(y, end_y) + 1)
        parts = [(x + 1, y - 1, turn, y + 1), upright, (turn, end_y - 1, end_x, end_y + 1)]
        assert not any(touch(part, box) for part in parts for box in cards)
    for box in [*cards, *tree.panels, *(badge for badge, _ in tree.badges)]:
        assert box[0] >= 0
        assert box[2] <= tree.width
        assert box[3] <= tree.height


@given(some_parents())
def test_lines_of_two_parents_never_run_over_each_other(parents: list[int | None]) -> None:
    elbows = FamilyTree(family_of(parents)).elbows
    for n, (x, y, turn, _, end_y) in enumerate(elbows):
        for other_x, other_y, other_turn, _, other_end_y in elbows[:n]:
            if turn == other_turn and (x, y) != (other_x, other_y):
                assert max(y, end_y) < min(other_y, other_end_y) or max(other_y, other_end_y) < min(y, end_y)


@given(some_parents())
def test_every_child_has_an_arrow_and_its_parent_at_the_left(parents: list[int | None]) -> None:
    tree = FamilyTree(family_of(parents))
    ends = {(end_x, end_y) for *_, end_x, end_y in tree.elbows}
    for child, parent in enumerate(parents):
        if parent is None:
            continue
        (x, y), (parent_x, parent_y) = tree.places[str(child)], tree.places[str(parent)]
        panel = next((box for box in tree.panels if box[0] < x < box[2] and box[1] < y < box[3]), None)
        left, top = (x, y) if panel is None else (panel[0], panel[1] + 12)
        assert any(0 < left - end_x < 10 and top < end_y < top + CARD[1] for end_x, end_y in ends)
        assert (parent_x < x and parent_y <= y) or parent_y < y


# Words


SCRIPTS = (
    "#画画",
    "小红 🎨",
    "台灣囍喆",
    "さくら カメラ",
    "김철수 한국",
    "محمد علي",
    "שלום",
    "Привет ελληνικά",
    "สวัสดี",
    "नमस्ते दुनिया",
    "❤😀🦊",
    "café – 2×3",
)


@pytest.mark.parametrize("text", SCRIPTS)
def test_each_script_is_written_without_the_systems_fonts(text: str) -> None:
    font = FallbackFont(20, system=())
    assert font.lines(text, 1000, 1) == [text]
    drawings = [ink(font, character) for character in text if character.isalpha()]
    assert all(len(columns) > 1 for columns in drawings)
    boxes = ink(font, "\U0010fffe")
    assert all(drawing != boxes for drawing in drawings), "no letter is a box"


def test_words_from_right_to_left_are_in_their_order() -> None:
    font = FallbackFont(20, system=())
    both, first, second = ink(font, "שלום של"), ink(font, "שלום"), ink(font, "של")
    assert both == [*second, *first], "the first word is at the right"


def test_joined_and_modified_emojis_are_written_one_by_one() -> None:
    font = FallbackFont(20, system=())
    assert font.lines("👩‍👧 👍🏽 ❤️", 1000, 1) == ["👩👧 👍 ❤"]


def test_what_no_font_has_is_left_out_visibly() -> None:
    font = FallbackFont(20, bundled=(), system=())
    assert font.lines("一只红猫 café – x", 400, 1) == ["… café – x"]
    assert font.lines("নমস্কার", 400, 1) == ["…"]


def test_a_font_of_the_system_is_asked_last() -> None:
    files = (("no such font.ttf", 0), (CHINESE, 0))
    font = FallbackFont(20, bundled=(), system=files)
    assert font.lines("一只红猫 café", 400, 1) == ["一只红猫 café"]


def ink(font: FallbackFont, text: str) -> list[int]:
    """Return the sums of the columns in which a text's drawing has ink."""
    canvas = Image.new("L", (400, 60))
    font.draw(ImageDraw.Draw(canvas), (5, 5), text, 255)  # type: ignore[arg-type]
    columns = np.asarray(canvas).astype(int).sum(axis=0)
    return [int(column) for column in columns[columns > 0]]


def test_a_variable_font_is_not_drawn_at_its_thinnest() -> None:
    font = FallbackFont(40, CHINESE)
    assert sum(ink(font, "lll")) / 255 / 3 > 3 * 25, "upright strokes are at least three pixels wide"


def test_lines_end_between_words_and_between_chinese_characters() -> None:
    font = FallbackFont(20)
    assert font.lines("a red circle", font.width("a red c"), 5) == ["a red", "circle"]
    assert font.lines("一只红，猫", font.width("一只红") + 1, 5) == ["一只", "红，猫"]
    assert font.lines("a\u202e\x1b red\ncat", 400, 1) == ["a red cat"]


def test_what_does_not_fit_ends_with_an_ellipsis() -> None:
    font = FallbackFont(20)
    assert font.lines("a red circle", font.width("a red ci…"), 1) == ["a red ci…"]
    assert font.lines("i" * 4000, 4000, 1)[0].endswith("…")
    assert font.lines("", 100, 2) == []


@given(text=TEXT, width=st.integers(60, 400), most=st.integers(1, 3))
def test_any_text_fits_into_its_lines(text: str, width: int, most: int) -> None:
    font = FallbackFont(16)
    lines = font.lines(text, width, most)
    assert len(lines) <= most
    assert all(font.width(line) <= width for line in lines)
    canvas = ImageDraw.Draw(Image.new("RGB", (400, 24)))
    for line in lines:
        font.draw(canvas, (0, 0), line, (255, 255, 255))
