"""Charts of usage, as PNG: bars by day, and bars by member, channel or kind.

Their background is dark, on Discord's dark and light themes alike. Lengths are for a width of 900 pixels and are drawn
at twice that; a phone shows some 0.4 of it. All functions block. Matplotlib takes a second to import, so it is
imported when the first chart is drawn.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from bot.media.fonts import FallbackFont, dejavu_path
from bot.media.palette import BAR, CHART_NOTE, GRID, GROUND, INK, REST, Colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 900
DENSITY = 2
_EDGE, _GAP = 28, 12
_HEAD, _FOOT = 112, 46
_PANEL_ONLY, _PANEL_FIRST, _PANEL_SMALL, _CAPTION, _NO_CAPTION = 272, 190, 84, 74, 20
_TICKS, _RIGHT = 88, 48
_NAMES, _ROW, _TYPE = 266, 35, 22
_LABELS_MAX = 7
_LABEL_LENGTH_MAX = 9
_DAYS_MIN = 3
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_COLOURS = 128
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))

_MATPLOTLIB = threading.Lock()
"""Held while matplotlib is used, because it is not safe for threads."""


@dataclass(frozen=True, slots=True)
class Heading:
    """Two lines over a chart: its title, and a note such as the total."""

    title: str
    note: str


@dataclass(frozen=True, slots=True)
class Panel:
    """Values by day, none below 0, and a label for each. The scale of ``whole`` values has whole numbers alone."""

    name: str
    values: Sequence[float]
    labels: Sequence[str]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A value with its label. ``name`` is any text, such as a member's name, and is cut to the width of its column.

    ``plain`` is shown instead of a name without a single character that a font has. ``rest`` marks a bar that sums all
    others.
    """

    name: str
    value: float
    label: str
    plain: str = ""
    rest: bool = False


def draw_days(heading: Heading, first: date, panels: Sequence[Panel]) -> bytes:
    """Return vertical bars for the days from ``first`` on, as PNG.

    Takes at least one panel, each with the same number of values; the first panel is drawn largest.
    """
    captioned = len(panels) > 1
    caption = _CAPTION if captioned else _NO_CAPTION
    heights = [_PANEL_FIRST if captioned else _PANEL_ONLY] + [_PANEL_SMALL] * (len(panels) - 1)
    height = _HEAD + sum(heights) + caption * len(panels) + _FOOT
    labelled = len(panels[0].values) <= _LABELS_MAX
    left = _EDGE if labelled else _TICKS
    with _MATPLOTLIB:
        figure = _figure(heading, height)
        top = _HEAD
        for panel, tall in zip(panels, heights, strict=True):
            if captioned:
                _text(figure, (left, height - top - caption + 32), panel.name, CHART_NOTE, 20)
            top += caption + tall
            axes = _axes(figure, (left, height - top, WIDTH - left - _RIGHT, tall), height)
            _draw_panel(axes, panel, labelled=labelled, ticks=2 if tall == _PANEL_SMALL else 5)
            _date_ticks(axes, first, len(panel.values), shown=panel is panels[-1])
        return _png(_picture(figure))


def draw_bars(heading: Heading, bars: Sequence[Bar]) -> bytes:
    """Return horizontal bars as PNG, the first at the top; at least one, and about a dozen at most."""
    height = _HEAD + _ROW * len(bars) + _EDGE
    with _MATPLOTLIB:
        font = _font(_TYPE * DENSITY)
        widest = max(font.width(bar.label) for bar in bars) / DENSITY
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
            # Half a line above the row's middle, less the room that a line has under its characters.
            top = (_HEAD + (row + 0.5) * _ROW) * DENSITY - font.size * 0.64
            colour = CHART_NOTE if bar.rest else INK
            name = _shown(font, bar)
            font.draw(canvas, ((_NAMES - _GAP) * DENSITY - font.width(name), top), name, colour)
            font.draw(canvas, ((_NAMES + room * bar.value / most + _GAP) * DENSITY, top), bar.label, colour)
        return _png(picture)


def _draw_panel(axes: Axes, panel: Panel, *, labelled: bool, ticks: int) -> None:
    """Draw a panel: with a label over each bar if ``labelled``, else with a scale at the left."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: PLC0415 - slow to import

    days = range(len(panel.values))
    most = max(panel.values) or 1.0
    axes.bar(days, panel.values, 0.78, color=_hex(BAR))
    beside = max(0.0, (_DAYS_MIN - len(days)) / 2)
    axes.set_xlim(-0.6 - beside, len(days) - 0.4 + beside)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=_points(20), labelcolor=_hex(CHART_NOTE), pad=6)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_hex(REST))
    if not labelled:
        axes.set_ylim(0, most * 1.04)
        axes.yaxis.set_major_locator(MaxNLocator(ticks, integer=panel.whole or most > ticks))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
        axes.grid(axis="y", color=_hex(GRID), linewidth=1)
        return
    axes.set_ylim(0, most)
    axes.set_yticks([])
    for day, value, label in zip(days, panel.values, _fitting_labels(panel), strict=True):
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


def _fitting_labels(panel: Panel) -> Sequence[str]:
    """Return the labels, or rounded ones if they would run into each other."""
    rounded = [f"{value:,.0f}" for value in panel.values]
    for labels in (panel.labels, rounded):
        if max(map(len, labels)) <= _LABEL_LENGTH_MAX:
            return labels
    return [_rounded(value) for value in panel.values]


def _date_ticks(axes: Axes, first: date, count: int, *, shown: bool) -> None:
    """Label the last day with its date, and as many days before it as there is room for."""
    days = range(count - 1, -1, -math.ceil(count / _LABELS_MAX))
    axes.set_xticks(list(days), [day_text(first + timedelta(day)) if shown else "" for day in days])


def _figure(heading: Heading, height: float) -> Figure:
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    figure = Figure((WIDTH / 100, height / 100), dpi=100 * DENSITY, facecolor=_hex(GROUND))
    _text(figure, (_EDGE, height - 48), heading.title, INK, 30, weight="bold")
    _text(figure, (_EDGE, height - 84), heading.note, CHART_NOTE, _TYPE)
    return figure


def _axes(figure: Figure, box: tuple[float, float, float, float], height: float) -> Axes:
    """Return axes in a box of left, bottom, width and height, in pixels."""
    left, bottom, wide, tall = box
    return figure.add_axes((left / WIDTH, bottom / height, wide / WIDTH, tall / height), facecolor=_hex(GROUND))


def _text(
    figure: Figure, at: tuple[float, float], text: str, colour: Colour, size: float, weight: str = "normal"
) -> None:
    """Draw text of the program, never a member's name, which matplotlib could read as a formula."""
    x, y = at
    height = figure.get_figheight() * 100
    figure.text(x / WIDTH, y / height, text, color=_hex(colour), fontsize=_points(size), weight=weight)


def _picture(figure: Figure) -> Image.Image:
    buffer = BytesIO()
    figure.savefig(buffer, format="rgba", backend="agg")
    size = (round(figure.get_figwidth() * figure.dpi), round(figure.get_figheight() * figure.dpi))
    return Image.frombytes("RGBA", size, buffer.getvalue()).convert("RGB")


def _shown(font: FallbackFont, bar: Bar) -> str:
    """Return a bar's name cut to its column; the plain name if no font has any of its characters."""
    width = (_NAMES - _GAP - _EDGE) * DENSITY
    (line,) = font.lines(bar.name, width, 1) or [""]
    if line.strip(" …") or not bar.plain:
        return line
    return font.lines(bar.plain, width, 1)[0]


@lru_cache(maxsize=2)
def _font(size: int) -> FallbackFont:
    """Return a font that begins with matplotlib's own, in which the scales and headings are written."""
    return FallbackFont(size, dejavu_path())


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    palette = picture.quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def day_text(day: date) -> str:
    """Return a date such as "3 Nov", in English whatever the system's language."""
    return f"{day.day} {_MONTHS[day.month - 1]}"


def _short(value: float) -> str:
    """Return a number for a scale: 2.5, 9,000, 120k, 2.5M."""
    if value < 10_000:
        return f"{value:,.10g}"
    size, unit = next(each for each in _UNITS if value >= each[0])
    return f"{value / size:,.10g}{unit}"


def _rounded(value: float) -> str:
    """Return a number with three digits: 12.3k, 1.23M."""
    return _short(float(f"{value:.3g}"))


def _points(pixels: float) -> float:
    return pixels * 0.72


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
