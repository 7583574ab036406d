"""The event loop's delay by the largest commands, in a process of its own over 200,000 jobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.lag import LAG_MAX

ROOT = Path(__file__).parents[2]
WAIT_MAX = 0.1
"""Seconds that a write may wait for what the others compute."""


@pytest.mark.system  # 200,000 jobs, 10,000 pictures and a process of its own: a minute
def test_the_first_chart_an_export_and_a_deletion_do_not_stop_the_loop(tmp_path: Path) -> None:
    environment = os.environ | {"MPLCONFIGDIR": str(tmp_path / "fonts")}
    command = [sys.executable, "-m", "tests.helpers.measure_lag", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    assert len(found) == 11
    assert {name: lag for name, lag in found.items() if lag >= (WAIT_MAX if "write" in name else LAG_MAX)} == {}, found
