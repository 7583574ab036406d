"""The short version of the proof that no job is lost; ``python -m tests.e2e.crash`` runs the long one.

With Ray (``--set RAY_ADDRESS=local``) it is run by hand: each life takes a quarter of a minute longer to start.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.crash import CrashRun
from tests.e2e.moments import Moment

pytestmark = pytest.mark.system


@pytest.mark.parametrize("more", [{}, {"WORKER": "process"}], ids=str)
async def test_nothing_is_lost_and_nothing_comes_twice_across_two_restarts(
    tmp_path: Path, more: dict[str, str]
) -> None:
    plan = [Moment("request", "post", "after", 2), Moment("stop")]
    report = await CrashRun(tmp_path, 16, plan, seed=2, **more).run()
    assert report.wrong == []
    assert report.jobs >= 10, "most of what was asked was heard"
    assert report.results >= 5
