"""docs/scale.md: its table of what pictures cost is the one that the command prints."""

from __future__ import annotations

from pathlib import Path

from benchmarks.cost import CARDS, STEP_SHARES, picture_seconds, rows

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"


def test_the_page_has_the_rows_that_the_command_prints() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(row in text for row in rows())


def test_the_arithmetic_comes_near_to_what_an_h100_took() -> None:
    measured = {"eager": 1.43, "compiled": 0.94}
    for name, seconds in measured.items():
        assert 0.9 <= picture_seconds(CARDS[0], STEP_SHARES[name]) / seconds <= 1.0, name
