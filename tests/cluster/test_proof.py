"""The short version of the proof that a cluster loses no job; ``python -m tests.cluster.proof`` runs the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.hosts import why_not
from tests.cluster.proof import run_proof

pytestmark = pytest.mark.system  # a head, two nodes and a bot on hosts of their own: half a minute until they serve


def test_no_job_is_lost_when_a_node_is_cut_off(tmp_path: Path) -> None:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    done = run_proof(jobs=8, seed=2, folder=tmp_path, faults=[3])
    assert done.returncode == 0, done.stdout
    assert "ok: " in done.stdout.splitlines()[-1]
