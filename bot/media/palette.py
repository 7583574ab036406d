"""The colours of the charts and sheets that the bot makes, as red, green and blue from 0 to 255.

They have a dark ground of their own and so look the same on Discord's dark and light themes.
"""

from __future__ import annotations

Colour = tuple[int, int, int]

GROUND: Colour = (30, 31, 34)
INK: Colour = (242, 243, 245)

CHART_NOTE: Colour = (190, 195, 202)
BAR: Colour = (122, 162, 255)
REST: Colour = (136, 142, 152)
GRID: Colour = (66, 69, 77)

SHEET_NOTE: Colour = (181, 186, 193)
PANEL: Colour = (45, 47, 53)
CARD: Colour = (60, 62, 70)
MAT: Colour = (43, 45, 50)
EMPTY: Colour = (78, 80, 88)
LINE: Colour = (148, 155, 164)
MARK: Colour = (250, 176, 5)
