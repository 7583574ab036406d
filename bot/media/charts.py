"""Charts of what was used, as PNG: credits by day, and who or what used the most.

They have a dark ground of their own and so look the same on Discord's dark and light themes. Measures are for a width
of 900 pixels and are drawn at twice that; a phone shows some 0.4 of it. Everything here blocks: run it in an executor.
Matplotlib takes a second to import, so that is done only when the first chart is drawn.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from bot.media.fonts import CHINESE, OTHER, FallbackFont
from bot.media.palette import BAR, CHART_NOTE, GRID, GROUND, INK, REST, Colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 900
DENSITY = 2
_EDGE, _GAP = 28, 12
_HEAD, _FOOT = 112, 46
_TALLEST, _TALL, _SMALL, _CAPTION, _AIR = 272, 190, 84, 74, 20
_TICKS, _RIGHT = 88, 48
_NAMES, _ROW, _TYPE = 266, 35, 22
_MAX_LABELS = 7
_LONGEST_LABEL = 9
_FEWEST = 3
_SYMBOLS = re.compile("[\U0001f000-\U0001fbff\u2600-\u27bf\ufe0f\u200d]")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_COLOURS = 128
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))

_ONE_AT_A_TIME = threading.Lock()
"""Matplotlib is not made for several threads."""


@dataclass(frozen=True, slots=True)
class Heading:
    """Two lines over a chart: what it shows, and what it comes to."""

    title: str
    note: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A value for each day, none below 0, and how each is written."""

    name: str
    values: Sequence[float]
    labels: Sequence[str]


@dataclass(frozen=True, slots=True)
class Bar:
    """A value and how it is written. ``name`` may be anything that people call themselves, and is cut to its column.

    ``plain`` stands for a name that no font has a character of; ``rest`` says that the bar is of many together.
    """

    name: str
    value: float
    label: str
    plain: str = ""
    rest: bool = False


def draw_days(heading: Heading, first: date, panels: Sequence[Panel]) -> bytes:
    """Bars for the days from ``first`` on: at least one panel, each with as many values; the first is the largest."""
    captioned = len(panels) > 1
    caption = _CAPTION if captioned else _AIR
    heights = [_TALL if captioned else _TALLEST] + [_SMALL] * (len(panels) - 1)
    height = _HEAD + sum(heights) + caption * len(panels) + _FOOT
    labelled = len(panels[0].values) <= _MAX_LABELS
    left = _EDGE if labelled else _TICKS
    with _ONE_AT_A_TIME:
        figure = _figure(heading, height)
        top = _HEAD
        for panel, tall in zip(panels, heights, strict=True):
            if captioned:
                _text(figure, (left, height - top - caption + 32), panel.name, CHART_NOTE, 20)
            top += caption + tall
            axes = _axes(figure, (left, height - top, WIDTH - left - _RIGHT, tall), height)
            _draw_panel(axes, panel, labelled=labelled, ticks=2 if tall == _SMALL else 5)
            _date_ticks(axes, first, len(panel.values), shown=panel is panels[-1])
        return _png(_picture(figure))


def draw_bars(heading: Heading, bars: Sequence[Bar]) -> bytes:
    """Horizontal bars in their order, from the top; at least one, and some dozen at most."""
    height = _HEAD + _ROW * len(bars) + _EDGE
    with _ONE_AT_A_TIME:
        letters = _lettering(_TYPE * DENSITY)
        widest = max(letters.width(bar.label) for bar in bars) / DENSITY
        room = WIDTH - _NAMES - widest - _GAP - _EDGE
        figure = _figure(heading, height)
        axes = _axes(figure, (_NAMES, _EDGE, room, _ROW * len(bars)), height)
        most = max(bar.value for bar in bars) or 1.0
        colours = [_hex(REST if bar.rest else BAR) for bar in bars]
        axes.barh(range(len(bars), 0, -1), [bar.value for bar in bars], 0.66, color=colours)
        axes.set_xlim(0, most)
        axes.set_ylim(0.5, len(bars) + 0.5)
        axes.set_axis_off()
        picture = _picture(figure)
        canvas = ImageDraw.Draw(picture)
        for row, bar in enumerate(bars):
            # Half a line's height over the middle, but for the room under the letters.
            top = (_HEAD + (row + 0.5) * _ROW) * DENSITY - letters.size * 0.64
            colour = CHART_NOTE if bar.rest else INK
            name = _shown(letters, bar)
            letters.draw(canvas, ((_NAMES - _GAP) * DENSITY - letters.width(name), top), name, colour)
            letters.draw(canvas, ((_NAMES + room * bar.value / most + _GAP) * DENSITY, top), bar.label, colour)
        return _png(picture)


def _draw_panel(axes: Axes, panel: Panel, *, labelled: bool, ticks: int) -> None:
    """Few bars each have their value over them; many have a scale beside them."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: PLC0415 - slow to import

    days = range(len(panel.values))
    most = max(panel.values) or 1.0
    axes.bar(days, panel.values, 0.78, color=_hex(BAR))
    beside = max(0.0, (_FEWEST - len(days)) / 2)
    axes.set_xlim(-0.6 - beside, len(days) - 0.4 + beside)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=_points(20), labelcolor=_hex(CHART_NOTE), pad=6)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_hex(REST))
    if not labelled:
        axes.set_ylim(0, most * 1.04)
        axes.yaxis.set_major_locator(MaxNLocator(ticks, integer=most > ticks))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
        axes.grid(axis="y", color=_hex(GRID), linewidth=1)
        return
    axes.set_ylim(0, most)
    axes.set_yticks([])
    labels = panel.labels
    if max(map(len, labels)) > _LONGEST_LABEL:  # they would run into each other
        labels = [_rounded(value) for value in panel.values]
    for day, value, label in zip(days, panel.values, labels, strict=True):
        if value:
            axes.annotate(
                label,
                (day, value),
                (0, 4),
                textcoords="offset points",
                ha="center",
                fontsize=_points(20),
                color=_hex(INK),
            )


def _date_ticks(axes: Axes, first: date, count: int, *, shown: bool) -> None:
    """The last day has its date, and so many before it as there is room for."""
    days = range(count - 1, -1, -math.ceil(count / _MAX_LABELS))
    axes.set_xticks(list(days), [day_text(first + timedelta(day)) if shown else "" for day in days])


def _figure(heading: Heading, height: float) -> Figure:
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    figure = Figure((WIDTH / 100, height / 100), dpi=100 * DENSITY, facecolor=_hex(GROUND))
    _text(figure, (_EDGE, height - 48), heading.title, INK, 30, weight="bold")
    _text(figure, (_EDGE, height - 84), heading.note, CHART_NOTE, _TYPE)
    return figure


def _axes(figure: Figure, box: tuple[float, float, float, float], height: float) -> Axes:
    """Axes at left, bottom, width and height, in pixels."""
    left, bottom, wide, tall = box
    return figure.add_axes((left / WIDTH, bottom / height, wide / WIDTH, tall / height), facecolor=_hex(GROUND))


def _text(
    figure: Figure, at: tuple[float, float], text: str, colour: Colour, size: float, weight: str = "normal"
) -> None:
    """Our own words; never anybody's name, which could have characters that matplotlib reads as formulas."""
    x, y = at
    height = figure.get_figheight() * 100
    figure.text(x / WIDTH, y / height, text, color=_hex(colour), fontsize=_points(size), weight=weight)


def _picture(figure: Figure) -> Image.Image:
    buffer = BytesIO()
    figure.savefig(buffer, format="rgba", backend="agg")
    size = (round(figure.get_figwidth() * figure.dpi), round(figure.get_figheight() * figure.dpi))
    return Image.frombytes("RGBA", size, buffer.getvalue()).convert("RGB")


def _shown(letters: FallbackFont, bar: Bar) -> str:
    """As much of a bar's name as its column holds. Colourful symbols, which no font has, are left out."""
    name = " ".join(_SYMBOLS.sub("", bar.name).split())
    (line,) = letters.lines(name, (_NAMES - _GAP - _EDGE) * DENSITY, 1) or [""]
    if line.strip(" …□") or not bar.plain:
        return line
    return letters.lines(bar.plain, (_NAMES - _GAP - _EDGE) * DENSITY, 1)[0]


@lru_cache(maxsize=2)
def _lettering(size: int) -> FallbackFont:
    """Names in matplotlib's own font, which comes with it, and in the system's where that has no such characters."""
    import matplotlib as mpl  # noqa: PLC0415 - slow to import

    own = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return FallbackFont(size, ((str(own), 0),), CHINESE + OTHER)


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    palette = picture.quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def day_text(day: date) -> str:
    """ "3 Nov", whatever the system's language."""
    return f"{day.day} {_MONTHS[day.month - 1]}"


def _short(value: float) -> str:
    """A number of a scale: 2.5, 9,000, 120k, 2.5M."""
    if value < 10_000:
        return f"{value:,.10g}"
    size, unit = next(each for each in _UNITS if value >= each[0])
    return f"{value / size:,.10g}{unit}"


def _rounded(value: float) -> str:
    """The number to three digits: 12.3k, 1.23M."""
    return _short(float(f"{value:.3g}"))


def _points(pixels: float) -> float:
    return pixels * 0.72


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
