"""Where each relative of an image stands on the family sheet.

Children stand to the right of their parent, the first beside it, the others below. Many childless siblings share a
panel with one arrow to it. A family of more than eight generations goes on further down, at the left: a letter in a
circle stands where its line leaves and where it comes in again.
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
_ARROW_GAP = 6.0
_ROW_GAP = 28.0
_ROW = CARD[1] + _ROW_GAP
_MIDDLE = PADDING + THUMBNAIL / 2
_PANEL_EDGE = 12.0
_MAX_APART = 4
_BADGE = 28.0
_BADGE_ROOM = _BADGE + _GAP

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""
Elbow = tuple[float, float, float, float, float]
"""A line from (x, y) across to ``turn``, then to (end x, end y): x, y, turn, end x, end y."""


@dataclass(frozen=True, slots=True)
class Relative:
    """An image in a family: ``picture`` is its PNG or WebP, None where it is gone, and then ``missing`` stands there.

    ``marked`` is the one that was asked about.
    """

    id: str
    parent_id: str | None
    prompt: str
    note: str
    picture: bytes | None = field(repr=False)
    marked: bool
    missing: str = "original deleted"


def nearest(relatives: Sequence[Relative]) -> list[Relative]:
    """At most 40, in their own order: those with the fewest steps between them and the marked one."""
    neighbours: defaultdict[str, list[str]] = defaultdict(list)
    for relative in relatives:
        if relative.parent_id is not None:
            neighbours[relative.id].append(relative.parent_id)
            neighbours[relative.parent_id].append(relative.id)
    ids = [relative.id for relative in relatives]
    met = dict.fromkeys([relative.id for relative in relatives if relative.marked] or ids[:1])
    waiting = deque(met)
    while waiting:
        for neighbour in neighbours[waiting.popleft()]:
            if neighbour not in met:
                met[neighbour] = None
                waiting.append(neighbour)
    known = set(ids)
    ranked = [*(id_ for id_ in met if id_ in known), *(id_ for id_ in ids if id_ not in met)]
    chosen = set(ranked[:MAX_RELATIVES])
    return [relative for relative in relatives if relative.id in chosen]


class FamilyTree:
    """The places of at least one relative, in pixels before scaling."""

    def __init__(self, relatives: Sequence[Relative]) -> None:
        self.places: dict[str, Point] = {}
        self.panels: list[Box] = []
        self.elbows: list[Elbow] = []
        self.badges: list[tuple[Box, str]] = []
        self._children = _children(relatives)
        self._continued: deque[tuple[str, list[str]]] = deque()
        self._letters = iter(ascii_uppercase)
        self._left = MARGIN + (_BADGE_ROOM if self._generations() > _COLUMNS else 0)
        # How far down each column is taken.
        self._floors: defaultdict[int, float] = defaultdict(lambda: MARGIN)
        self._place(self._children[None], None, 0, MARGIN)
        while self._continued:
            letter, siblings = self._continued.popleft()
            top = max(self._floors.values())
            self._place(siblings, self._add_badge(MARGIN, top + _MIDDLE, letter), 0, top)
        rights = [
            *(x + CARD[0] for x, _ in self.places.values()),
            *(panel[2] for panel in self.panels),
            *(badge[2] for badge, _ in self.badges),
        ]
        self.width = max(rights) + MARGIN
        self.height = max(self._floors.values()) - _ROW_GAP + MARGIN

    def _generations(self) -> int:
        count, generation = 0, self._children[None]
        while generation:
            count += 1
            generation = [child for parent in generation for child in self._children[parent]]
        return count

    def _place(self, siblings: list[str], start: Point | None, column: int, top: float) -> None:
        """Place siblings and all that come from them, no higher than ``top``, with lines from ``start``."""
        if column == _COLUMNS and siblings and start is not None:
            self._leave(siblings, start)
            return
        single, grouped = self._grouped(siblings)
        x = self._left + column * _PITCH
        for child in single:
            # Families are kept apart: nothing of another root stands beside this one's.
            taken = self._row(child, column) if start is not None else list(self._floors)
            top = max([top, *(self._floors[number] for number in taken)])
            self.places[child] = (x, top)
            self._floors[column] = top + _ROW
            self._connect(start, (x, top + _MIDDLE), x)
            self._place(self._children[child], (x + CARD[0], top + _MIDDLE), column + 1, top)
        if grouped:
            self._place_panel(grouped, start, column, top)

    def _grouped(self, siblings: list[str]) -> tuple[list[str], list[str]]:
        """Those that stand alone, and those that share a panel."""
        childless = {child for child in siblings if not self._children[child]}
        if len(childless) <= _MAX_APART:
            return siblings, []
        return [child for child in siblings if child not in childless], [
            child for child in siblings if child in childless
        ]

    def _row(self, child: str, column: int) -> list[int]:
        """The columns that a relative, its first child, that one's first child and so on take, beside each other."""
        columns = [column]
        while (siblings := self._children[child]) and columns[-1] + 1 < _COLUMNS:
            single, grouped = self._grouped(siblings)
            if not single:
                return columns + _panel_columns(len(grouped), columns[-1] + 1)
            child = single[0]
            columns.append(columns[-1] + 1)
        return columns

    def _place_panel(self, siblings: list[str], start: Point | None, column: int, top: float) -> None:
        across = _across(len(siblings))
        rows = math.ceil(len(siblings) / across)
        taken = _panel_columns(len(siblings), column)
        top = max([top, *(self._floors[number] for number in taken)])
        x, pitch = self._left + column * _PITCH, CARD[0] + _PANEL_EDGE
        for number, child in enumerate(siblings):
            self.places[child] = (x + number % across * pitch, top + number // across * _ROW)
        bottom = top + rows * _ROW - _ROW_GAP + _PANEL_EDGE
        if start is not None:
            self.panels.append((x - _PANEL_EDGE, top - _PANEL_EDGE, x + across * pitch, bottom))
            self._connect(start, (x - _PANEL_EDGE, top + _MIDDLE), x)
        self._floors |= dict.fromkeys(taken, bottom + _ROW_GAP)

    def _connect(self, start: Point | None, end: Point, column_left: float) -> None:
        if start is not None:
            x, y = end
            self.elbows.append((*start, column_left - _TURN, x - _ARROW_GAP, y))

    def _leave(self, siblings: list[str], start: Point) -> None:
        """The line goes on further down: a badge here, the same one there."""
        letter = next(self._letters)
        x, y = start
        self._add_badge(x + _GAP / 2, y, letter)
        self.elbows.append((x, y, x + _GAP / 4, x + _GAP / 2, y))
        self._continued.append((letter, siblings))

    def _add_badge(self, left: float, middle: float, letter: str) -> Point:
        """The point at the badge's right, where lines leave it."""
        self.badges.append(((left, middle - _BADGE / 2, left + _BADGE, middle + _BADGE / 2), letter))
        return left + _BADGE, middle


def _across(count: int) -> int:
    """How many of a panel's cards stand side by side: about half as many as stand below each other."""
    return max(1, round(math.sqrt(count / 2)))


def _panel_columns(count: int, column: int) -> list[int]:
    width = _across(count) * (CARD[0] + _PANEL_EDGE) + _PANEL_EDGE
    return list(range(column, column + math.ceil(width / _PITCH)))


def _children(relatives: Sequence[Relative]) -> defaultdict[str | None, list[str]]:
    """Children by their parent, in order; None has those without one among the relatives. A ring is cut open."""
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
