"""Charts of usage: sizes, positions, and unusual names."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from io import BytesIO, StringIO
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.charts import days_chart, members_chart
from bot.media.charts import Bar, Heading, Panel, _axes, _draw_panel, _figure, _short, draw_bars, draw_days
from bot.media.palette import BAR, CHART_NOTE, GROUND, INK, REST, Colour
from bot.requests.pricing import format_credits
from bot.store.usage import Days, Share, Used
from bot.views.reports import (
    Report,
    device_text,
    member_alt_text,
    member_chart,
    report_alt_text,
    report_chart,
    report_csv,
    report_text,
)

HEADING = Heading("Credits by day", "1,234.5 credits · 912 jobs · 25 Oct – 23 Nov 2026")
FIRST = date(2026, 10, 25)
STRANGE = (
    "山田太郎",
    "🎨🖌️",
    "محمد علي",
    "שלום",
    "a very long name that never wants to come to its end",
    "$\\frac{1}{0}$ <b>&amp;",
    "𝕬𝖉𝖆",
    "e\u0301\u0302\u0303" * 20,
    "\u202eevil\u2066\x00\n",
    "👩‍👩‍👧‍👦",
    "",
)


def opened(png: bytes) -> Image.Image:
    picture = Image.open(BytesIO(png))
    assert picture.format == "PNG"
    return picture.convert("RGB")


def panel(*values: float) -> Panel:
    return Panel("credits", values, [f"{value:g}" for value in values])


def bar_heights(picture: Image.Image) -> list[int]:
    """Return the heights of the bars in pixels, from left to right, measured at their middles."""
    rows = (np.asarray(picture) == BAR).all(axis=2).sum(axis=0)
    edges = np.flatnonzero(np.diff((rows > 0).astype(int), prepend=0, append=0))
    return [int(np.median(rows[left:right])) for left, right in zip(edges[::2], edges[1::2], strict=True)]


def bar_widths(picture: Image.Image, colour: Colour = BAR) -> list[int]:
    columns = (np.asarray(picture) == colour).all(axis=2).sum(axis=1)
    edges = np.flatnonzero(np.diff((columns > 0).astype(int), prepend=0, append=0))
    return [int(np.median(columns[top:bottom])) for top, bottom in zip(edges[::2], edges[1::2], strict=True)]


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast of two colours as WCAG 2 defines it, from 1 to 21."""

    def luminance(colour: Colour) -> float:
        parts = [part / 255 for part in colour]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_letters_and_bars_stand_out_from_their_ground() -> None:
    assert contrast(INK, GROUND) >= 7
    assert contrast(CHART_NOTE, GROUND) >= 7
    assert contrast(BAR, GROUND) >= 4.5
    assert contrast(REST, GROUND) >= 4.5
    assert contrast((255, 255, 255), (0, 0, 0)) == pytest.approx(21)


def test_the_ground_is_solid_to_the_edges_on_light_and_dark_themes_alike() -> None:
    for png in (draw_days(HEADING, FIRST, [panel(1, 2, 3)]), draw_bars(HEADING, [Bar("Ada", 1, "1")])):
        assert Image.open(BytesIO(png)).info.get("transparency") is None
        pixels = np.asarray(opened(png))
        for edge in (pixels[:20], pixels[-20:], pixels[:, :20], pixels[:, -20:]):
            assert (edge == GROUND).all()


@pytest.mark.parametrize("count", [1, 7, 8, 30, 90])
def test_each_day_has_its_bar_as_high_as_its_value(count: int) -> None:
    values = [1.0 + day % 5 for day in range(count)]
    picture = opened(draw_days(HEADING, FIRST, [panel(*values)]))
    assert picture.size == (1800, 900)
    heights = bar_heights(picture)
    assert len(heights) == count
    shares = [height / max(heights) for height in heights]
    assert shares == pytest.approx([value / max(values) for value in values], abs=0.02)


def test_days_without_use_keep_their_place() -> None:
    rows = (np.asarray(opened(draw_days(HEADING, FIRST, [panel(1, 0, 0, 1, 1)]))) == BAR).all(axis=2).any(axis=0)
    edges = np.flatnonzero(np.diff(rows.astype(int)))
    middles = [(left + right) / 2 for left, right in zip(edges[::2], edges[1::2], strict=True)]
    (long, short) = (later - earlier for earlier, later in pairwise(middles))
    assert long == pytest.approx(3 * short, rel=0.02)


def test_horizontal_bars_are_as_long_as_their_values_and_the_rest_looks_different() -> None:
    bars = [Bar("a", 100, "100"), Bar("b", 50, "50"), Bar("c", 10, "10"), Bar("3 others", 30, "30", rest=True)]
    picture = opened(draw_bars(HEADING, bars))
    lengths = bar_widths(picture)
    assert [length / lengths[0] for length in lengths] == pytest.approx([1, 0.5, 0.1], abs=0.02)
    assert bar_widths(picture, REST)[-1] / lengths[0] == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("value", [0.0, 0.01, 1e7])
def test_any_value_can_be_drawn(value: float) -> None:
    assert opened(draw_days(HEADING, FIRST, [panel(value), panel(value), panel(value)])).width == 1800
    assert opened(draw_days(HEADING, FIRST, [panel(*[value] * 30)])).width == 1800
    widths = bar_widths(opened(draw_bars(HEADING, [Bar("a", value, f"{value:,.2f}")])))
    assert bool(widths) == (value > 0)


def test_large_numbers_are_written_short_where_they_would_run_into_each_other() -> None:
    scale = (2.5, 9000, 120_000, 2_500_000, 60_000_000_000, 4e12)
    assert [_short(value) for value in scale] == ["2.5", "9,000", "120k", "2.5M", "60G", "4T"]
    values = [9_234_567_890.12] * 7
    labels = opened(draw_days(HEADING, FIRST, [Panel("credits", values, [f"{value:,.2f}" for value in values])]))
    written = (np.asarray(labels)[180:224] != GROUND).any(axis=2).any(axis=0)
    gaps = np.diff(np.flatnonzero(written))
    assert (gaps > 60).sum() == 6, "each label has air beside it"


def written_on(panel: Panel, *, labelled: bool, ticks: int = 2) -> list[str]:
    """Return the labels of a panel's scale, or those over its bars."""
    axes = _axes(_figure(HEADING, 400), (50, 50, 800, 84), 400)
    _draw_panel(axes, panel, labelled=labelled, ticks=ticks)
    if labelled:
        return [text.get_text() for text in axes.texts]
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    return [label.get_text() for label in axes.get_yticklabels()]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 1234])
def test_the_scale_of_a_count_has_whole_numbers_alone(most: int) -> None:
    values = [0.0, *[float(most)] * 9]
    scale = written_on(Panel("requests", values, [""] * 10, whole=True), labelled=False)
    assert all(re.fullmatch(r"[\d,]+", tick) for tick in scale)
    assert len(scale) >= 2


def test_labels_over_bars_are_the_text_s_figures_where_they_fit() -> None:
    def labels(*exact: str) -> list[str]:
        return written_on(Panel("credits", [float(each.replace(",", "")) for each in exact], exact), labelled=True)

    assert labels("1,234.56", "0.5") == ["1,234.56", "0.5"]
    assert labels("12,345.67", "123,456.78") == ["12,346", "123,457"]
    assert labels("9,234,567,890.12") == ["9.23G"]


def test_names_in_any_script_stay_in_their_column() -> None:
    plain = opened(draw_bars(HEADING, [Bar("", 10, "10") for _ in STRANGE]))
    named = opened(draw_bars(HEADING, [Bar(name, 10, "10") for name in STRANGE]))
    left, right = np.asarray(named)[:, :40], np.asarray(named)[:, 2 * 266 :]
    assert (left[224:] == GROUND).all()
    assert np.abs(right.astype(int) - np.asarray(plain)[:, 2 * 266 :]).max() < 20, "no name reaches a bar"
    assert (np.asarray(named) != np.asarray(plain)).any()


def test_a_name_that_cannot_be_written_gives_way_to_a_plain_one() -> None:
    def drawn(bar: Bar) -> bytes:
        return opened(draw_bars(HEADING, [bar])).tobytes()

    for name in ("\U00013000", "", "\U000e0001"):
        assert drawn(Bar(name, 1, "1", plain="member …1234")) == drawn(Bar("member …1234", 1, "1"))
    assert drawn(Bar("\U00013000 Mia", 1, "1", plain="member …1234")) == drawn(Bar("… Mia", 1, "1"))


@pytest.mark.parametrize("name", ["画布", "小红 🎨", "김철수", "محمد"])
def test_a_name_is_written_in_its_own_script(name: str) -> None:
    def drawn(bar: Bar) -> bytes:
        return opened(draw_bars(HEADING, [bar])).tobytes()

    assert drawn(Bar(name, 1, "1", plain="member …1234")) not in {
        drawn(Bar(other, 1, "1")) for other in ("member …1234", "…", "")
    }
    assert drawn(Bar(name, 1, "1")) != drawn(Bar(name[::-1], 1, "1")), "each character is told from the others"


@settings(max_examples=10)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=11))
@example(list(STRANGE))
def test_no_name_warns_or_fails(names: list[str]) -> None:
    picture = opened(draw_bars(HEADING, [Bar(name, 1, "1", plain="member …1234") for name in names]))
    widths = bar_widths(picture)
    assert len(widths) == len(names)
    assert max(widths) - min(widths) <= 1, "no name reaches a bar"


def test_charts_can_be_drawn_in_several_threads_at_once() -> None:
    alone = draw_days(HEADING, FIRST, [panel(1, 2, 3)])
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: draw_days(HEADING, FIRST, [panel(1, 2, 3)]), range(8)))
    assert together == [alone] * 8


def test_the_bot_does_not_load_matplotlib_before_a_chart_is_drawn() -> None:
    code = "import sys, bot.commands.usage; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Reports

DAYS = Days(20_780, 20_809)
ADA, MIRA = 12_345_678_901_234_567, 22_345_678_901_234_568


def report(by: str, *shares: tuple[int | str | None, int]) -> Report:
    return Report("Usage", DAYS, by, [Share(key, Used(1, 2, credit, 1500)) for key, credit in shares])  # type: ignore[arg-type]


def test_every_report_has_its_chart() -> None:
    one = report("day", (20_780, 100), (20_809, 250))
    assert len(bar_heights(opened(report_chart(one, {})))) == 2
    assert opened(member_chart(one)).width == 1800
    for by, keys in (("user", (ADA, None)), ("channel", (5, 6)), ("kind", ("imagine", "edit"))):
        picture = opened(report_chart(report(by, (keys[0], 300), (keys[1], 100)), {}))
        assert len(bar_widths(picture)) == 2


def test_alt_texts_have_the_figures_of_the_bars() -> None:
    members = report("user", (ADA, 12_345), (MIRA, 250), (None, 100))
    assert report_alt_text(members, {ADA: "Ada"}) == (
        "Bar chart of credits by member, 23 Nov – 22 Dec 2026: 126.95 credits in 3 requests. "
        "Ada: 123.45; member …4568: 2.5; former members: 1."
    )
    days = report("day", (20_808, 100), (20_809, 250))
    assert report_alt_text(days, {}).endswith("3.5 credits in 2 requests. 22 Dec: 2.5; 21 Dec: 1.")
    assert member_alt_text(days) == (
        "Bar charts of your credits, requests and seconds on the device by day, 23 Nov – 22 Dec 2026. "
        "22 Dec: 2.5 credits, 1 request, 1.5 s; 21 Dec: 1 credit, 1 request, 1.5 s."
    )


def test_alt_texts_keep_to_discord_s_limit_and_say_what_is_left_out() -> None:
    days = report("day", *((20_720 + day, 123_456 + day) for day in range(90)))
    text = member_alt_text(days)
    assert 900 < len(text) <= 1024
    shown = text.count(" credits, 1 request")
    assert text.endswith(f"; and {90 - shown} more.")
    names = {100 + number: "n" * 400 for number in range(10)}
    assert len(report_alt_text(report("user", *((key, 100) for key in names)), names)) <= 1024


def test_a_chart_and_its_text_have_the_same_seconds() -> None:
    for milliseconds in (0, 50, 99, 4_250, 4_299, 59_999):
        (line,) = [f"{milliseconds // 100 / 10:g} s"]
        assert device_text(milliseconds) == line
        used = Report("", DAYS, "day", [Share(20_809, Used(1, 1, 100, milliseconds))])
        assert member_alt_text(used).endswith(f", {line}.")


def test_a_deleted_channel_is_no_mention() -> None:
    channels = Report("Usage", DAYS, "channel", [Share(5, Used(1, 1, 100)), Share(6, Used(1, 1, 50))], frozenset({6}))
    assert [line.split("` ")[1] for line in report_text(channels).splitlines()[3:]] == ["<#5>", "deleted channel 6"]


def test_the_rest_of_many_is_one_bar_and_one_row() -> None:
    many = report("user", *((100 + number, 1000 - number) for number in range(40)))
    assert len(bar_widths(opened(report_chart(many, {})))) == 10
    text = report_text(many)
    assert text.count("<@") == 10
    assert text.endswith("` 30 others")
    assert "292.65" in text.splitlines()[-1].replace(",", "")
    days = report_text(report("day", *((20_780 + day, 100) for day in range(30))))
    assert days.splitlines()[-1].endswith("earlier (20 days)")
    assert len(days) < 1000


@given(st.integers(0, 10**12))
def test_credits_and_times_are_written_exactly(amount: int) -> None:
    assert format_credits(amount, grouped=True).replace(",", "") == format_credits(amount)
    whole, _, part = format_credits(amount).partition(".")
    assert int(whole) * 100 + int(part.ljust(2, "0")) == amount
    assert len(device_text(amount)) < 20


def test_short_and_long_times() -> None:
    times = (0, 90, 4250, 59_999, 60_000, 723_000, 3_599_999, 3_600_000, 4_320_000)
    assert [device_text(time) for time in times] == [
        "0 s",
        "0 s",
        "4.2 s",
        "59.9 s",
        "1 min 0 s",
        "12 min 3 s",
        "59 min 59 s",
        "1 h 0 min",
        "1 h 12 min",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "＝1",
        '"=1',
        " =1",
        "a,b\n=1",
        "a;=1",
        "a\t=1",
        'a"; "@x',
        "a|-1",
    ],
)
def test_no_cell_of_an_export_is_a_formula(name: str) -> None:
    data = report_csv(report("user", (ADA, 100), (None, 50)), {ADA: name})
    assert data.startswith(b"\xef\xbb\xbfmember,name,credits")
    header, first, second = csv.reader(StringIO(data.decode("utf-8-sig"), newline=""))
    assert not [cell for cell in first + second if cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "＝"))]
    assert first[0] == f"<@{ADA}>", "a spreadsheet would round so long a number"
    assert " ".join(name.split()) in re.sub(r"([;|]\W*)'", r"\1", first[1])
    for separator in ";\t|":  # separators of spreadsheets in other languages
        rows = csv.reader(StringIO(data.decode("utf-8-sig"), newline=""), delimiter=separator)
        assert not [cell for row in rows for cell in row if cell.lstrip(' "').startswith(("=", "+", "-", "@", "＝"))]
    assert second[0] == "former members"
    assert first[2:] == ["1.00", "1", "2", "1.500"]
    assert len(header) == 6


def test_the_docs_charts_are_small_enough() -> None:
    for png in (days_chart(), members_chart()):
        assert len(png) < 60_000
        assert opened(png).width == 1800
