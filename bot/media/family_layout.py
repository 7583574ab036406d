"""The layout of the family sheet: the places of an image's relatives.

Children are to the right of their parent, the first beside it, the others below. Many siblings without children share
a panel with one arrow. A family of more than eight generations continues below, at the left: a badge, a letter in a
circle, is drawn at both ends of a line that continues there.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase

MAX_RELATIVES = 40
THUMBNAIL = 192.0
PADDING = 10.0
CARD = (THUMBNAIL + 2 * PADDING, 290.0)
"""Width and height of a card in pixels, before the sheet is scaled."""
MARGIN = 28.0

_COLUMNS = 8
_GAP = 56.0
_PITCH = CARD[0] + _GAP
_TURN = 34.0
"""How far left of a column the lines to its cards turn."""
_ARROW_GAP = 6.0
_ROW_GAP = 28.0
_ROW = CARD[1] + _ROW_GAP
_MIDDLE = PADDING + THUMBNAIL / 2
_PANEL_EDGE = 12.0
_SINGLE_MAX = 4
"""Siblings without children that each have an arrow of their own; more of them share a panel."""
_BADGE = 28.0
_BADGE_ROOM = _BADGE + _GAP

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""
Elbow = tuple[float, float, float, float, float]
"""x, y, turn, end x, end y: a line from (x, y) across to x = ``turn``, then up or down, then across to the end."""


@dataclass(frozen=True, slots=True)
class Relative:
    """An image of a family. ``picture`` is a PNG or WebP; if it is None, the text ``missing`` is shown instead.

    ``marked`` is the image whose family is shown.
    """

    id: str
    parent_id: str | None
    prompt: str
    note: str
    picture: bytes | None = field(repr=False)
    marked: bool
    missing: str = "original deleted"


def nearest(relatives: Sequence[Relative]) -> list[Relative]:
    """Return at most 40 relatives, in their order: those with the fewest steps between them and the marked one."""
    neighbours: defaultdict[str, list[str]] = defaultdict(list)
    for relative in relatives:
        if relative.parent_id is not None:
            neighbours[relative.id].append(relative.parent_id)
            neighbours[relative.parent_id].append(relative.id)
    ids = [relative.id for relative in relatives]
    reached = dict.fromkeys([relative.id for relative in relatives if relative.marked] or ids[:1])
    waiting = deque(reached)
    while waiting:
        for neighbour in neighbours[waiting.popleft()]:
            if neighbour not in reached:
                reached[neighbour] = None
                waiting.append(neighbour)
    known = set(ids)
    ranked = [*(id_ for id_ in reached if id_ in known), *(id_ for id_ in ids if id_ not in reached)]
    chosen = set(ranked[:MAX_RELATIVES])
    return [relative for relative in relatives if relative.id in chosen]


class FamilyTree:
    """The layout of at least one relative, in pixels before the sheet is scaled.

    ``places`` are the upper left corners of cards by id; ``badges`` are boxes with their letters.
    """

    def __init__(self, relatives: Sequence[Relative]) -> None:
        self.places: dict[str, Point] = {}
        self.panels: list[Box] = []
        self.elbows: list[Elbow] = []
        self.badges: list[tuple[Box, str]] = []
        self._children = _children(relatives)
        self._continued: deque[tuple[str, list[str]]] = deque()
        self._letters = iter(ascii_uppercase)
        self._left = MARGIN + (_BADGE_ROOM if self._generations() > _COLUMNS else 0)
        # The y below which each column is free.
        self._free_below: defaultdict[int, float] = defaultdict(lambda: MARGIN)
        self._place(self._children[None], None, 0, MARGIN)
        while self._continued:
            letter, siblings = self._continued.popleft()
            top = max(self._free_below.values())
            self._place(siblings, self._add_badge(MARGIN, top + _MIDDLE, letter), 0, top)
        rights = [
            *(x + CARD[0] for x, _ in self.places.values()),
            *(panel[2] for panel in self.panels),
            *(badge[2] for badge, _ in self.badges),
        ]
        self.width = max(rights) + MARGIN
        self.height = max(self._free_below.values()) - _ROW_GAP + MARGIN

    def _generations(self) -> int:
        """Return the number of generations."""
        count, generation = 0, self._children[None]
        while generation:
            count += 1
            generation = [child for parent in generation for child in self._children[parent]]
        return count

    def _place(self, siblings: list[str], start: Point | None, column: int, top: float) -> None:
        """Place siblings and their descendants at or below ``top``, with lines from ``start``."""
        if column == _COLUMNS and siblings and start is not None:
            self._continue_below(siblings, start)
            return
        single, grouped = self._split_siblings(siblings)
        x = self._left + column * _PITCH
        for child in single:
            # Families of different roots are kept apart: a root is below everything that is already placed.
            taken = self._columns_beside(child, column) if start is not None else list(self._free_below)
            top = max([top, *(self._free_below[number] for number in taken)])
            self.places[child] = (x, top)
            self._free_below[column] = top + _ROW
            self._connect(start, (x, top + _MIDDLE), x)
            self._place(self._children[child], (x + CARD[0], top + _MIDDLE), column + 1, top)
        if grouped:
            self._place_panel(grouped, start, column, top)

    def _split_siblings(self, siblings: list[str]) -> tuple[list[str], list[str]]:
        """Return the siblings with an arrow of their own, and those that share a panel."""
        childless = [child for child in siblings if not self._children[child]]
        if len(childless) <= _SINGLE_MAX:
            return siblings, []
        return [child for child in siblings if self._children[child]], childless

    def _columns_beside(self, child: str, column: int) -> list[int]:
        """Return the columns of a relative, its first child, that one's first child and so on, which share a row."""
        columns = [column]
        while (siblings := self._children[child]) and columns[-1] + 1 < _COLUMNS:
            single, grouped = self._split_siblings(siblings)
            if not single:
                return columns + _panel_columns(len(grouped), columns[-1] + 1)
            child = single[0]
            columns.append(columns[-1] + 1)
        return columns

    def _place_panel(self, siblings: list[str], start: Point | None, column: int, top: float) -> None:
        """Place siblings in a panel at or below ``top``, with one line from ``start``."""
        across = _across(len(siblings))
        rows = math.ceil(len(siblings) / across)
        taken = _panel_columns(len(siblings), column)
        top = max([top, *(self._free_below[number] for number in taken)])
        x, pitch = self._left + column * _PITCH, CARD[0] + _PANEL_EDGE
        for number, child in enumerate(siblings):
            self.places[child] = (x + number % across * pitch, top + number // across * _ROW)
        bottom = top + rows * _ROW - _ROW_GAP + _PANEL_EDGE
        if start is not None:
            self.panels.append((x - _PANEL_EDGE, top - _PANEL_EDGE, x + across * pitch, bottom))
            self._connect(start, (x - _PANEL_EDGE, top + _MIDDLE), x)
        self._free_below |= dict.fromkeys(taken, bottom + _ROW_GAP)

    def _connect(self, start: Point | None, end: Point, column_left: float) -> None:
        if start is not None:
            x, y = end
            self.elbows.append((*start, column_left - _TURN, x - _ARROW_GAP, y))

    def _continue_below(self, siblings: list[str], start: Point) -> None:
        """Draw a badge at ``start``; the siblings are placed later, beside a badge with the same letter."""
        letter = next(self._letters)
        x, y = start
        self._add_badge(x + _GAP / 2, y, letter)
        self.elbows.append((x, y, x + _GAP / 4, x + _GAP / 2, y))
        self._continued.append((letter, siblings))

    def _add_badge(self, left: float, middle: float, letter: str) -> Point:
        """Add a badge. Returns the point at its right, from which lines start."""
        self.badges.append(((left, middle - _BADGE / 2, left + _BADGE, middle + _BADGE / 2), letter))
        return left + _BADGE, middle


def _across(count: int) -> int:
    """Return the number of columns of a panel: about half the number of its rows."""
    return max(1, round(math.sqrt(count / 2)))


def _panel_columns(count: int, column: int) -> list[int]:
    """Return the columns that a panel of ``count`` cards covers, from ``column`` on."""
    width = _across(count) * (CARD[0] + _PANEL_EDGE) + _PANEL_EDGE
    return list(range(column, column + math.ceil(width / _PITCH)))


def _children(relatives: Sequence[Relative]) -> defaultdict[str | None, list[str]]:
    """Return children by parent, in order; under None those without a parent among the relatives.

    Relatives whose parents form a cycle are treated as if one of them had no parent.
    """
    known = {relative.id for relative in relatives}
    parents: dict[str, str | None] = {}
    for relative in relatives:
        parent = relative.parent_id if relative.parent_id in known else None
        above = parent
        while above is not None and above != relative.id:
            above = parents.get(above)
        parents[relative.id] = None if above == relative.id else parent
    children: defaultdict[str | None, list[str]] = defaultdict(list)
    for id_, parent in parents.items():
        children[parent].append(id_)
    return children
