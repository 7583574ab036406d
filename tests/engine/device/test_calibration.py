"""What units cost is measured once, and stored measurements of an older program are not used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.device import calibration
from zimage_engine.device.calibration import _text_seconds, known_costs
from zimage_engine.device.loading import load_components
from zimage_engine.device.memory import MemoryPlan, Placement
from zimage_engine.model.model import ZImageModel
from zimage_engine.weights import complete_profile

CPU = torch.device("cpu")


@dataclass
class Clock:
    """Replaces the time that measuring takes."""

    now: float = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(calibration, "time", clock)
    return clock


def encoder(clock: Clock, seconds: float, token: float) -> Any:
    def encode(text: str) -> int:
        tokens = len(text.split())
        clock.now += seconds + token * tokens
        return tokens

    return SimpleNamespace(encode_uncached=encode)


def test_a_text_and_its_tokens_are_told_apart(clock: Clock) -> None:
    assert _text_seconds(encoder(clock, 0.02, 0.0005)) == pytest.approx((0.02, 0.0005))


def test_on_a_slow_device_only_a_short_text_is_measured(clock: Clock) -> None:
    assert _text_seconds(encoder(clock, 0.0, 0.5)) == pytest.approx((0.0, 0.5))
    assert clock.now < 60 * 0.5, "a short text twice"


def test_measurements_of_an_older_program_are_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ZImageModel(load_components(DEMO_WEIGHTS, CPU, MemoryPlan(Placement.RESIDENT, 4)), CPU)
    profile = complete_profile(find_profile("demo"))
    measured = known_costs(model, profile, "CPU", tmp_path)
    assert measured.encode_token > 0
    assert measured.encode((512,)) > 1.5 * measured.encode((32,))
    monkeypatch.setattr(calibration, "measure", lambda *_: pytest.fail("measured again"))
    assert known_costs(model, profile, "CPU", tmp_path) == measured
    path = tmp_path / "costs.json"
    stored = json.loads(path.read_text())
    for values in stored.values():
        values.pop("encode_token")
    path.write_text(json.dumps(stored))
    monkeypatch.setattr(calibration, "measure", lambda *_: measured)
    assert known_costs(model, profile, "CPU", tmp_path) == measured
    assert json.loads(path.read_text()) != stored
