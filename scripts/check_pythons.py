"""Check that the pinned packages are there for each Python version that the project is for, by pip's dry run.

Run by hand after constraints.txt has changed: ``python scripts/check_pythons.py [3.12 …]``. Downloads what pip needs to
read the packages' metadata. pip reads conditions such as ``python_version < "3.12"`` as for the Python that runs it, so
run this with the oldest version. Ends with status 1 if a version does not resolve.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def versions() -> list[str]:
    """Return the Python versions of the project's classifiers, such as ``3.11``."""
    found = (re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each) for each in PROJECT["classifiers"])
    return [match[1] for match in found if match]


def requirements() -> list[str]:
    """Return what the project needs with all its extras."""
    return [*PROJECT["dependencies"], *(each for extra in PROJECT["optional-dependencies"].values() for each in extra)]


def resolve(version: str) -> str:
    """Return an empty text if everything resolves for this Python version, else what pip says."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--disable-pip-version-check"]
        command += ["--python-version", version, "--only-binary=:all:", "--target", folder]
        command += ["-c", str(ROOT / "constraints.txt"), *requirements()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    return "\n".join(line for line in done.stderr.splitlines() if line.startswith("ERROR")) or done.stderr


def main() -> None:
    """Print a line for each version."""
    failed = False
    for version in sys.argv[1:] or versions():
        complaint = resolve(version)
        failed = failed or bool(complaint)
        print(f"Python {version}: {complaint or 'resolves'}", flush=True)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
