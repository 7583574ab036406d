"""The short version of the proof that no job is lost; ``python -m tests.e2e.crash`` runs the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.crash import CrashRun
from tests.e2e.moments import Moment

pytestmark = pytest.mark.system


@pytest.mark.parametrize(
    ("jobs", "restarts", "more"),
    # With Ray each life takes a quarter of a minute longer to start.
    [(16, 2, {}), (16, 2, {"WORKER": "process"}), (8, 1, {"RAY_ADDRESS": "local"})],
    ids=str,
)
async def test_nothing_is_lost_and_nothing_comes_twice_across_restarts(
    tmp_path: Path, jobs: int, restarts: int, more: dict[str, str]
) -> None:
    plan = [Moment("request", "post", "after", 2), Moment("stop")][:restarts]
    report = await CrashRun(tmp_path, jobs, plan, seed=2, **more).run()
    assert report.wrong == []
    assert report.jobs >= jobs // 2 + 2, "most of what was asked was heard"
    assert report.results >= jobs // 3
