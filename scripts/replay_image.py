"""Replay the Dockerfile's steps in a folder with a fresh Debian, and run the bot there as its container would.

For machines where no container engine runs; as root, on Linux::

    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm ROOT
    python3 scripts/replay_image.py ROOT [--bind /etc/resolv.conf …] [--arg LOCK=requirements.lock]

All stages share the one root. Afterwards ``migrate``, ``demo`` and ``doctor`` run as the image's user, with its
environment, a read-only root, and volumes and a temporary folder in memory. pip's own variables are passed on. What
only an engine can show is not shown: its base image, its network, its health check.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
ONLY_FOR_ENGINES = ("FROM", "VOLUME", "HEALTHCHECK", "ENTRYPOINT", "CMD")
COMMANDS = "zimage-bot migrate && zimage-bot demo && { zimage-bot doctor || true; }"  # doctor misses the token
FIRST_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass
class Image:
    """What the steps so far say of the image."""

    arguments: dict[str, str]
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    )
    folder: str = "/"
    user: str = "0:0"


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """Return each instruction's word and the rest, with continued lines joined and comments left out."""
    lines = "\n".join(line for line in dockerfile.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def inside(root: Path, binds: list[Path], mounts: list[str], command: list[str]) -> int:
    """Run the command in the root, with these paths of the machine and more mounts; return its exit status."""
    script = [f"mount --bind {root} {root}", *(f"mount --rbind {each} {root}{each}" for each in ("/proc", "/dev"))]
    for path in binds:
        target = Path(f"{root}{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.mkdir(exist_ok=True) if path.is_dir() else target.touch()
        script.append(f"mount --bind {path} {target}")
    script += [*mounts, shlex.join(command)]
    unshare = shutil.which("unshare") or sys.exit("This needs util-linux's unshare.")
    return subprocess.run([unshare, "--mount", "sh", "-euc", "\n".join(script)], check=False).returncode


def copy(sources: list[Path], place: Path) -> None:
    """Copy files, or what is in a folder, to a place in the root."""
    for source in sources:
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)


def execute(root: Path, binds: list[Path], image: Image, script: str) -> None:
    """Run a step's shell script in the root; end with a sentence if it fails."""
    passed = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    environment = [f"{name}={value}" for name, value in (passed | image.arguments | image.environment).items()]
    command = ["chroot", str(root), "env", "-i", *environment, "sh", "-c", f"cd {image.folder} && {script}"]
    if inside(root, binds, [], command):
        sys.exit(f"This step failed: RUN {script}")


def step(root: Path, binds: list[Path], image: Image, word: str, rest: str) -> None:
    """Carry out one instruction; end with a sentence if it fails or is not known."""
    if word == "RUN":
        execute(root, binds, image, rest)
    elif word == "COPY":
        if "--from=" not in rest:  # an earlier stage is this root, too
            *sources, target = [each for each in rest.split() if not each.startswith("--")]
            copy([PROJECT / each for each in sources], root / str(Path(image.folder, target)).lstrip("/"))
    elif word == "ARG":
        name, _, value = rest.partition("=")
        image.arguments.setdefault(name, value)
    elif word == "ENV":
        for name, value in (each.split("=", 1) for each in rest.split()):
            image.environment[name] = value.replace("$PATH", image.environment["PATH"])
    elif word == "WORKDIR":
        image.folder = rest
        (root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif word == "USER":
        image.user = rest
    elif word not in ONLY_FOR_ENGINES:
        sys.exit(f"This script does not know the instruction {word}.")


def main() -> None:
    """Replay, then run the commands; end with status 1 if one fails."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("root", type=Path)
    options.add_argument("--bind", type=Path, action="append", default=[], help="a path of this machine that pip needs")
    options.add_argument("--arg", action="append", default=[], help="a build argument, such as LOCK=requirements.lock")
    chosen = options.parse_args()
    root = chosen.root.resolve()
    image = Image(dict(each.split("=", 1) for each in chosen.arg))
    steps = instructions((PROJECT / "Dockerfile").read_text(encoding="utf-8"))
    for word, rest in steps:
        print(f"{word} {rest}", flush=True)
        step(root, chosen.bind, image, word, rest)
    mounts = [f"mount -t tmpfs -o noexec,nosuid,nodev,mode=1777 tmpfs {root / 'tmp'}"]
    uid = image.user.split(":")[0]
    mounts += [
        f"mount -t tmpfs -o uid={uid},gid={uid},mode=0700 tmpfs {root}{each}"
        for each in json.loads(dict(steps)["VOLUME"])
    ]
    mounts.append(f"mount -o remount,bind,ro {root}")
    environment = [f"{name}={value}" for name, value in image.environment.items()]
    shell = ["sh", "-xc", f"cd {image.folder} && {COMMANDS}"]
    command = ["chroot", f"--userspec={image.user}", str(root), "env", "-i", *environment, *shell]
    sys.exit(inside(root, [], mounts, command))


if __name__ == "__main__":
    main()
