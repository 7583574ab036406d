"""A short version of ``python -m tests.load.crowd``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.load.crowd import CrowdRun, Load

pytestmark = pytest.mark.system  # the real process answers 400 commands: twenty seconds


async def test_everybody_in_a_crowd_is_answered_in_time_and_no_job_is_lost(tmp_path: Path) -> None:
    for each in await CrowdRun(tmp_path, Load(members=40, channels=20, commands=5, seconds=5.0)).run():
        assert each.wrong == []
