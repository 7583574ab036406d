"""Write requirements-cpu.lock, for Linux without CUDA, from requirements.lock. ``make lock`` runs this.

torch's CPU build is on PyTorch's own index, whose page gives the hashes of its files. Where that cannot be reached, the
hashes of the file that is there are kept if they are of the same version of torch.
"""

from __future__ import annotations

import re
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK, CPU_LOCK = ROOT / "requirements.lock", ROOT / "requirements-cpu.lock"
PYTHONS = ("311", "312", "313", "314")
MACHINES = ("x86_64", "aarch64")

_HEADER = """\
# What runs in production on Linux without CUDA: requirements.lock with torch's CPU build. Written by `make lock`.
# On macOS and Windows requirements.lock has torch's CPU build already.
--extra-index-url {index}
"""
_CUDA_ONLY = re.compile(r"(?:nvidia-|cuda-|triton==)")
_SECONDS = 30.0


def split(lock: str) -> list[str]:
    """Return the entries of a lock: each a line with name and version, followed by its lines with hashes."""
    return re.findall(r"^[A-Za-z0-9].*\n(?:    .*\n)*", lock, re.MULTILINE)


def torch_version(lock: str) -> str:
    """Return torch's version in a lock, without ``+cpu``."""
    found = re.search(r"^torch==([^ +\\]+)", lock, re.MULTILINE)
    assert found is not None, "the lock has torch"
    return found[1]


def published_hashes(page: str, version: str) -> list[str]:
    """Return the hashes of the CPU builds of a version for Linux, from the index's page of torch."""
    name = (
        rf"torch-{re.escape(version)}(?:%2B|\+)cpu-cp({'|'.join(PYTHONS)})-cp\1-manylinux_\w+_(?:{'|'.join(MACHINES)})"
    )
    return sorted({match[2] for match in re.finditer(rf"{name}\.whl#sha256=([0-9a-f]{{64}})", page)})


def kept_hashes(cpu_lock: str, version: str) -> list[str]:
    """Return the hashes of torch in the CPU lock; empty if it has another version."""
    entry = next((each for each in split(cpu_lock) if each.startswith(f"torch=={version}+cpu ")), "")
    return re.findall(r"sha256:([0-9a-f]{64})", entry)


def cpu_lock(lock: str, index: str, hashes: list[str]) -> str:
    """Return the text of the CPU lock."""
    entries = [_HEADER.format(index=index)]
    for entry in split(lock):
        if entry.startswith("torch=="):
            lines = [
                f"torch=={torch_version(lock)}+cpu ; sys_platform == 'linux'",
                *(f"--hash=sha256:{h}" for h in hashes),
            ]
            entries.append(" \\\n    ".join(lines) + "\n")
        elif not _CUDA_ONLY.match(entry):
            entries.append(entry)
    return "".join(entries)


def main() -> None:
    """Write the file; end with one sentence if the hashes are not to be had. The argument is the index."""
    (index,) = sys.argv[1:]
    lock = LOCK.read_text(encoding="utf-8")
    version = torch_version(lock)
    try:
        with urllib.request.urlopen(f"{index.rstrip('/')}/torch/", timeout=_SECONDS) as answer:  # noqa: S310
            hashes = published_hashes(answer.read().decode(), version)
    except OSError as error:
        hashes = kept_hashes(CPU_LOCK.read_text(encoding="utf-8"), version)
        print(f"{index} cannot be reached ({error}): the hashes of torch {version} are kept.", file=sys.stderr)
    if len(hashes) != len(PYTHONS) * len(MACHINES):
        sys.exit(f"There are {len(hashes)} CPU builds of torch {version} instead of {len(PYTHONS) * len(MACHINES)}.")
    CPU_LOCK.write_text(cpu_lock(lock, index, hashes), encoding="utf-8")


if __name__ == "__main__":
    main()
