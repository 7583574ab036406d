"""The transcripts in docs/journeys are what the bot says today."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.worlds import OpenWorld
from tests.journeys.journeys import JOURNEYS

PAGES = Path(__file__).parents[2] / "docs" / "journeys"


@pytest.mark.parametrize("name", JOURNEYS)
async def test_the_kept_transcript_is_what_is_said_today(name: str, world_of: OpenWorld) -> None:
    kept = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    told = await JOURNEYS[name](world_of)
    assert told == kept, "read what has changed, then write it with: python -m tests.journeys"


def test_every_page_has_its_journey() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == set(JOURNEYS) | {"README"}
