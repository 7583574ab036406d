"""``scripts/install.py``, with which ``make`` installs: what is downloaded from where, and what is said before."""

from __future__ import annotations

import os
import re
import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "install.py"))
PINNED = SCRIPT["pinned_torch"]()


@contextmanager
def an_index(status: int) -> Iterator[str]:
    """A package index that answers ``/torch/`` with this status."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(status if self.path == "/whl/cpu/torch/" else 404)
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/whl/cpu"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_index_is_reachable_if_it_answers_in_time() -> None:
    with an_index(200) as url:
        assert SCRIPT["is_reachable"](f"{url}/torch/")
        assert not SCRIPT["is_reachable"](f"{url}/other/")
    assert not SCRIPT["is_reachable"](f"{url}/torch/"), "nobody listens there any more"
    assert not SCRIPT["is_reachable"]("no address")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert not SCRIPT["is_reachable"](f"http://127.0.0.1:{silent.getsockname()[1]}/torch/", 0.2)
        assert time.monotonic() - began < 2
    assert SCRIPT["INDEX_SECONDS"] <= 5


LINUX: dict[str, Any] = {"system": "Linux", "driver": False, "installed": None, "index": "http://127.0.0.1:9/whl/cpu"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "http://127.0.0.1:9/whl/cpu with torch's CPU build cannot be reached: downloading torch from the usual"),
        ({"index": ""}, "no TORCH_INDEX is set"),
        ({"driver": True}, "There is an NVIDIA driver: downloading about 3 GB"),
        ({"system": "Darwin"}, "Downloading about 350 MB"),
        ({"installed": f"{PINNED}+cpu"}, f"torch {PINNED}+cpu is there already"),
        ({"installed": "1.0"}, "cannot be reached"),
    ],
)
def test_the_usual_index_is_taken_where_the_other_is_not_needed_or_not_there(
    changes: dict[str, Any], sentence: str
) -> None:
    index, said = SCRIPT["choose_torch"](**(LINUX | changes))
    assert index == ""
    assert sentence in said


def asked_of_pip(tmp_path: Path, *arguments: str, torch: str = "") -> tuple[str, list[str]]:
    """Run the script with an environment whose Python only writes down what it is asked, and says which torch it has.

    Returns what the script prints, and the commands without what is the same in all.
    """
    asked = tmp_path / "asked"
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >> {asked}\necho {torch}\n')
    python.chmod(0o755)
    without_driver = tmp_path / "bin"
    without_driver.mkdir()
    command = [sys.executable, str(ROOT / "scripts" / "install.py"), *arguments, "--venv", str(tmp_path / "venv")]
    environment = os.environ | {"PATH": str(without_driver)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    pip = "-m pip install --quiet --disable-pip-version-check "
    return done.stdout, [line.removeprefix(pip) for line in asked.read_text().splitlines() if line.startswith(pip)]


def test_without_a_driver_torch_alone_comes_from_the_index_with_the_cpu_build(tmp_path: Path) -> None:
    with an_index(200) as url:
        said, asked = asked_of_pip(tmp_path, "playground", "--torch-index", url)
    assert said.startswith(f"No NVIDIA driver: downloading about 350 MB, most of it torch's CPU build from {url}.\n")
    assert asked == [f"-c constraints.txt --extra-index-url {url} torch", "-c constraints.txt -e .[playground]"]


@pytest.mark.parametrize(("torch", "lock"), [("", "requirements.lock"), (f"{PINNED}+cpu", "requirements-cpu.lock")])
def test_production_is_installed_from_a_lock_alone(tmp_path: Path, torch: str, lock: str) -> None:
    _, asked = asked_of_pip(tmp_path, "--locked", torch=torch)
    program = "--no-deps --no-build-isolation --force-reinstall ."
    assert asked == [f"--require-hashes --only-binary :all: -r {lock}", program]


def test_production_has_torch_s_cpu_build_where_no_driver_is(tmp_path: Path) -> None:
    with an_index(200) as url:
        _, asked = asked_of_pip(tmp_path, "--locked", "--torch-index", url)
    assert asked[0] == "--require-hashes --only-binary :all: -r requirements-cpu.lock"


def test_make_install_installs_no_extras() -> None:
    command = ["make", "--dry-run", "--directory", str(ROOT), "install"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in said.splitlines() if "scripts/install.py" in line)
    assert line.split("scripts/install.py")[1].startswith(" --locked --torch-index")


@pytest.mark.parametrize(("target", "extras"), [("demo", "playground"), ("playground", "playground"), ("test", "dev")])
def test_only_the_targets_that_need_them_install_the_developers_tools(tmp_path: Path, target: str, extras: str) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    make = ["make", "--dry-run", "--directory", str(tmp_path)]
    said = subprocess.run([*make, target], capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in said.splitlines() if "scripts/install.py" in line)
    assert line.endswith(extras)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".installed").touch()
    again = subprocess.run([*make, target], capture_output=True, text=True, check=True).stdout
    assert "install.py" not in again, "the full install has everything"


def test_a_python_for_which_the_constraints_do_not_resolve_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a pip that has nothing for Python 3.13."""
    check = runpy.run_path(str(ROOT / "scripts" / "check_pythons.py"))
    assert check["versions"]() == ["3.11", "3.12", "3.13", "3.14"]
    named = {re.split(r"[<>=]", each)[0] for each in check["requirements"]()}
    assert {"torch", "pytest", "simcord[preview]"} <= named
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\ncase "$*" in *"--python-version 3.13 "*"constraints.txt accelerate"*)\n'
        "    echo 'ERROR: No matching distribution found for torch==2' >&2; exit 1;;\nesac\n"
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(sys, "argv", ["check_pythons.py"])
    with pytest.raises(SystemExit, match="1"):
        check["main"]()
    assert capsys.readouterr().out.splitlines() == [
        "Python 3.11: resolves",
        "Python 3.12: resolves",
        "Python 3.13: ERROR: No matching distribution found for torch==2",
        "Python 3.14: resolves",
    ]


def test_a_python_in_a_folder_of_its_owner_alone_is_named(tmp_path: Path) -> None:
    """A service with a user of its own could not run it."""
    home = tmp_path / "home"
    python = home / "versions" / "bin" / "python3"
    python.parent.mkdir(parents=True)
    for folder in [*python.parents]:
        if folder.is_relative_to(tmp_path):
            folder.chmod(0o755)
    home.chmod(0o700)
    found = SCRIPT["private_folder"](python)
    assert found is not None
    assert home.is_relative_to(found)
    assert SCRIPT["private_folder"](Path("/usr/bin/python3")) is None
