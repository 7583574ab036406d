"""Install zimage-bot into ``.venv``, with the extras that are named. ``make`` runs this with the system's Python.

``--locked`` installs what runs in production, in the versions and with the hashes of the lock, and a copy of the
program: the checkout can then be updated while the bot runs.

Where no NVIDIA driver is, torch's CPU build is taken from PyTorch's own index if that can be reached: PyPI's build for
Linux has CUDA in it, which is some ten times as large. What is downloaded is said first.
"""

from __future__ import annotations

import argparse
import platform
import re
import shutil
import stat
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST_PYTHON = (3, 11)

CPU_SIZE = "about 350 MB"
CUDA_SIZE = "about 3 GB"
INDEX_SECONDS = 4.0
_DRIVER = Path("/proc/driver/nvidia/version")


def main() -> None:
    """Create the environment if there is none, and install into it. Ends with one sentence if that cannot work."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("extras", nargs="?", default="", help="such as playground or playground,dev")
    options.add_argument("--torch-index", default="", help="a package index with torch's CPU build; empty: none")
    options.add_argument("--venv", type=Path, default=ROOT / ".venv")
    options.add_argument("--locked", action="store_true", help="production alone, from the lock with hashes")
    chosen = options.parse_args()
    if sys.version_info < OLDEST_PYTHON:
        sys.exit("zimage-bot needs Python 3.11 or newer; name one with make PYTHON=python3.11")
    python = create_environment(chosen.venv)
    if chosen.locked and (private := private_folder(python.resolve())) is not None:
        print(
            f"Note: this Python lies in {private}, which only its owner can enter, so a service with a user of its own "
            f"cannot run it. For such a service remove {chosen.venv} and say `make install PYTHON=/usr/bin/python3`.",
            flush=True,
        )
    installed = installed_torch(python)
    extra, sentence = choose_torch(
        system=platform.system(),
        driver=bool(shutil.which("nvidia-smi")) or _DRIVER.exists(),
        installed=installed,
        index=chosen.torch_index,
    )
    print(sentence if "dev" not in chosen.extras else f"{sentence} The developers' tools come on top.", flush=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if chosen.locked:
        install_locked(pip, cpu=bool(extra) or "+cpu" in (installed or ""))
        return
    pip += ["-c", "constraints.txt"]
    if extra:
        # By itself, so that nothing else is taken from there. pip prefers 2.13.0+cpu to 2.13.0.
        run([*pip, "--extra-index-url", extra, "torch"])
    run([*pip, "-e", f".[{chosen.extras}]" if chosen.extras else "."])


def install_locked(pip: list[str], *, cpu: bool) -> None:
    """Install the packages of a lock, then a copy of the program. ``cpu`` chooses torch's CPU build for Linux."""
    lock = "requirements-cpu.lock" if cpu else "requirements.lock"
    run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", lock])
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # modules of an older version would be packed again
    run([*pip, "--no-deps", "--no-build-isolation", "--force-reinstall", "."])


def create_environment(folder: Path) -> Path:
    """Return the Python of the virtual environment in ``folder``, which is created if it is not there."""
    python = folder / ("Scripts" if platform.system() == "Windows" else "bin") / "python"
    if python.exists():
        return python
    was_there = folder.exists()
    done = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        if not was_there:
            shutil.rmtree(folder, ignore_errors=True)
        if "ensurepip" not in done.stdout:
            sys.exit(done.stderr or done.stdout)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        sys.exit(
            f"Python {version} cannot create virtual environments here: on Ubuntu and Debian install its package, "
            f"`sudo apt install python{version}-venv`, and try again."
        )
    return python


def private_folder(path: Path) -> Path | None:
    """Return the outermost folder above ``path`` that other users cannot enter, None if there is none."""
    return next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & stat.S_IXOTH), None)


def choose_torch(*, system: str, driver: bool, installed: str | None, index: str) -> tuple[str, str]:
    """Return the package index to take torch from, empty for the usual one, and what to say before the download.

    ``system`` is that of :func:`platform.system`, ``driver`` says whether there is an NVIDIA driver, and ``installed``
    is torch's version in the environment.
    """
    if installed is not None and installed.partition("+")[0] == pinned_torch():
        return "", f"Installing what is missing; torch {installed} is there already."
    if system != "Linux":  # PyPI's builds for macOS and Windows are without CUDA
        return "", f"Downloading {CPU_SIZE}, most of it torch."
    if driver:
        return "", f"There is an NVIDIA driver: downloading {CUDA_SIZE}, most of it torch with CUDA."
    if index and is_reachable(f"{index.rstrip('/')}/torch/"):
        return index, f"No NVIDIA driver: downloading {CPU_SIZE}, most of it torch's CPU build from {index}."
    reason = f"{index} with torch's CPU build cannot be reached" if index else "no TORCH_INDEX is set"
    return "", f"No NVIDIA driver, but {reason}: downloading torch from the usual index, up to {CUDA_SIZE}."


def is_reachable(url: str, seconds: float = INDEX_SECONDS) -> bool:
    """Return whether the page answers within ``seconds``, looking up its name included."""
    answers: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=seconds) as answer:  # noqa: S310 - the operator's own index
                answers.append(answer.status == 200)
        except (OSError, ValueError):
            answers.append(False)

    # A thread, since no time-out covers the look-up of a name.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return answers == [True]


def installed_torch(python: Path) -> str | None:
    """Return torch's version in the environment of ``python``, without importing it; None if it has none."""
    code = "import importlib.metadata; print(importlib.metadata.version('torch'))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def pinned_torch() -> str:
    """Return torch's version in constraints.txt."""
    found = re.search(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, "constraints.txt pins torch"
    return found[1]


def run(command: list[str]) -> None:
    """Run the command in the project's folder; end with its status if it fails."""
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
