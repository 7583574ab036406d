"""What a request needs, before anything of it is done."""

from __future__ import annotations

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.estimates import unit_seconds
from zimage_engine.types import ImageRequest, Unit


def test_every_unit_costs_more_than_nothing() -> None:
    seconds = unit_seconds(ImageRequest("a", "p", 256, 256, 2, 0), CostModel(), pixels_per_token=1024)
    assert set(seconds) == set(Unit)
    assert min(seconds.values()) > 0
