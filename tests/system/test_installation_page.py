"""The commands of the installation page that need no GPU, run as they are written, in the order of the page."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.documents import ROOT, page
from tests.helpers.pictures import picture_of
from training.reading import read

pytestmark = pytest.mark.system  # two processes that import torch


def test_the_commands_that_need_no_gpu(tmp_path: Path) -> None:
    blocks = re.findall(
        r"^```sh test(?: exit=(\d))?\n(.*?)^```", page("docs/install-ubuntu.md"), re.MULTILINE | re.DOTALL
    )
    assert len(blocks) >= 2
    _put_the_project_into(tmp_path)
    kept = {name: value for name, value in os.environ.items() if name not in ("DISCORD_TOKEN", "PROFILE", "MODEL")}
    printed = ""
    for status, script in blocks:
        done = subprocess.run(
            ["/bin/sh", "-euc", script],
            cwd=tmp_path,
            env=kept | {"DEVICE": "cpu", "NO_COLOR": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == int(status or 0), (script, done.stdout, done.stderr)
        printed += done.stdout
    seen = read(picture_of((tmp_path / "circle.png").read_bytes()))
    assert (seen.shape, seen.colour, seen.background) == ("circle", "red", "blue")
    to_fix = {line.split()[1] for line in printed.splitlines() if line.strip().startswith("fix ")}
    assert "token" in to_fix
    assert to_fix <= {"token", "driver", "disk"}, "this machine may lack a driver or room, and nothing else"


def _put_the_project_into(folder: Path) -> None:
    """Lay out what the page's commands use: the settings' example, and the program where ``pip`` installs it."""
    shutil.copy(ROOT / ".env.example", folder)
    program = folder / ".venv" / "bin" / "zimage-bot"
    program.parent.mkdir(parents=True)
    python = f"PYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)}"
    program.write_text(f'#!/bin/sh\n{python} -m bot "$@"\n', encoding="utf-8")
    program.chmod(0o755)
