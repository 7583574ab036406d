"""The wheel, installed into an empty environment and run from an empty folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.helpers.documents import ROOT
from tests.helpers.pictures import picture_of

pytestmark = pytest.mark.system  # builds and installs a wheel, and starts three processes, two of which import torch

SOURCES = ("bot", "zimage_engine", "migrations")


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def build_wheel(folder: Path) -> Path:
    """Return the wheel of a copy of the project, so that the checkout keeps no build folder."""
    copy = folder / "project"
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    pip("wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), str(copy))
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Return the program of a new environment with the wheel in it, which has this one's other packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    packages = [path for path in sys.path if path.endswith("site-packages")] or [sysconfig.get_path("purelib")]
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "others.pth").write_text("\n".join(packages), encoding="utf-8")
    pip("--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    return folder / "bin" / "zimage-bot"


def test_migrate_demo_and_doctor_work_from_an_empty_folder(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = [path for name in SOURCES for path in (ROOT / name).rglob("*") if path.is_file()]
    expected = {str(path.relative_to(ROOT)) for path in sources if "__pycache__" not in path.parts}
    assert packed == {f"bot/{name}" if name.startswith("migrations/") else name for name in expected}

    program = install(wheel, tmp_path / "venv")
    empty = tmp_path / "empty"
    empty.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = kept | {"DEVICE": "cpu", "NO_COLOR": "1", "COLUMNS": "400"}
        command = [str(program), *arguments]
        return subprocess.run(
            command, cwd=empty, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    done = run("migrate")
    assert (done.returncode, done.stdout.startswith("data/zimage.sqlite3: applied 0001_jobs")) == (0, True), done.stderr
    said = run("doctor").stdout
    assert str(program.parents[1]) in said.replace("\n", ""), "the weights are those of the installed package"
    to_fix = {line.split()[1] for line in said.splitlines() if line.strip().startswith("fix ")}
    assert "token" in to_fix
    assert to_fix <= {"token", "driver", "disk"}, "this machine may lack a driver or room, and nothing else"
    done = run("demo")
    assert done.returncode == 0, done.stderr
    assert picture_of((empty / "build" / "demo.png").read_bytes()).size == (256, 256)
