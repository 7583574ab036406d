"""What is expected of a model before it was loaded here: by the arithmetic of its parts, and by earlier loads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from zimage_engine.catalog import PROFILES
from zimage_engine.device.cost_estimates import estimated_costs
from zimage_engine.device.load_times import LoadTimes
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import Unit

KNOWN = CostModel(
    base=0.02, linear=1e-4, square=1e-9, encode_token=1e-4, pixel=2e-6, budget=8192, correction={Unit.DENOISE: 2.0}
)


def test_a_model_of_the_same_dimensions_costs_the_same() -> None:
    estimated = estimated_costs(KNOWN, PROFILES["turbo"], PROFILES["base"])
    assert estimated.correction == {}
    assert estimated.step(4128) == pytest.approx(replace(KNOWN, correction={}).step(4128))
    assert estimated.encode((100,)) == pytest.approx(KNOWN.encode((100,)))
    assert estimated.budget == KNOWN.budget


def test_a_larger_model_costs_as_much_more_as_its_units_are_larger() -> None:
    demo, turbo = PROFILES["demo"], PROFILES["turbo"]
    estimated = estimated_costs(KNOWN, demo, turbo)
    work = [profile.dimensions.denoise(4096, 32) for profile in (demo, turbo)]
    assert estimated.linear / KNOWN.linear == pytest.approx(work[1] / work[0])
    assert estimated.linear > 100 * KNOWN.linear
    assert estimated.base == pytest.approx(0.02 * 30 / 6)
    assert estimated.decode(1) > 5 * KNOWN.decode(1)
    assert estimated.budget < turbo.dimensions.image_tokens(turbo.base_size.pixels), "one picture at a time"
    back = estimated_costs(estimated, turbo, demo)
    assert back.budget <= KNOWN.budget


def test_the_seconds_of_loading_follow_the_bytes_and_the_last_load(tmp_path: Path) -> None:
    times = LoadTimes(tmp_path)
    assert times.expected("turbo", 10**9) == pytest.approx(2.0)
    times.note("turbo", 20 * 10**9, 10.0)
    assert times.expected("base", 12 * 10**9) == pytest.approx(6.0), "as fast as the other"
    times.note("base", 12 * 10**9, 3.0)
    times.note("base", 0, 0.001)
    assert times.expected("base", 12 * 10**9) == pytest.approx(3.0)
    assert times.expected("base", 0) == 0.0
    assert LoadTimes(tmp_path).expected("turbo", 2 * 10**9) == pytest.approx(1.0), "also at the next start"
    (tmp_path / "loads.json").write_text(json.dumps({"turbo": [1, "x"], "base": None, "other": [0, 1.0]}))
    assert LoadTimes(tmp_path).expected("turbo", 10**9) == pytest.approx(2.0)
