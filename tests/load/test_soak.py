"""A short version of ``python -m tests.load.soak``, and its judgement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.load.samples import Sample, read_samples
from tests.load.soak import BOUNDS, Soak, faults_of, growth

QUIET = Sample(at=0.0, rss=400_000_000, handles=20, threads=14, tasks=10, cpu=0.0, lag=0.0, by_thread={})


@pytest.mark.system  # the real process, for half a minute
async def test_nothing_grows_while_a_twentieth_of_everything_fails(tmp_path: Path) -> None:
    soak = Soak(tmp_path, faults=0.05, per_second=8.0)
    states = await soak.run(20.0)
    assert set(states) <= {"delivered", "failed", "cancelled"}
    assert states["delivered"] > 50
    assert faults_of(read_samples(soak.samples)) == []


@pytest.mark.parametrize("name", BOUNDS)
def test_what_grows_is_found(name: str) -> None:
    flat = [replace(QUIET, at=float(second)) for second in range(60)]
    assert faults_of(flat) == []
    grown = [replace(each, **{name: round(getattr(each, name) * (1 + 0.02 * each.at))}) for each in flat]
    assert [fault.split()[0] for fault in faults_of(grown)] == [name]
    assert growth(grown)[name] > BOUNDS[name]
