"""NVIDIA's driver on this machine, and whether the installed torch can use it. Free of torch; meant for Linux.

Sources, read in November 2026: a build of torch for CUDA 12.x runs with driver 525 and newer, one for CUDA 13.x with
580 and newer (https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html). PyPI's torch 2.13 is
built for CUDA 13.0, PyTorch's own index has it for 12.6, too (https://github.com/pytorch/pytorch/pull/187075).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_MINIMUM_DRIVERS = {11: 450, 12: 525, 13: 580}
"""The first driver branch that runs programs for this major version of CUDA."""

_DRIVER_VERSION = Path("/proc/driver/nvidia/version")
_PCI_DEVICES = Path("/sys/bus/pci/devices")
_DEVICE_FILES = Path("/dev")
_CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
_NVIDIA_VENDOR = "0x10de"
_DISPLAY_CLASS = "0x03"

_SMI_SECONDS = 20.0
_PYPI = "https://pypi.org/simple"
_CUDA_12_INDEX = "https://download.pytorch.org/whl/cu126"


@dataclass(frozen=True, slots=True)
class NvidiaState:
    """What this machine says of its NVIDIA cards.

    ``card`` is True if there is one, or its driver. ``driver`` is the driver's version, such as ``580.65.06``; None if
    none is loaded. ``complaint`` is what ``nvidia-smi`` says where it fails, else empty. ``reachable`` is True if the
    driver's device files are here: a container sees the kernel's driver, and has the files only if it was given a GPU.
    """

    card: bool
    driver: str | None = None
    complaint: str = ""
    reachable: bool = True
    in_container: bool = False


def find_nvidia(
    version_file: Path = _DRIVER_VERSION,
    pci_devices: Path = _PCI_DEVICES,
    device_files: Path = _DEVICE_FILES,
    container_marks: tuple[Path, ...] = _CONTAINER_MARKS,
) -> NvidiaState:
    """Look for an NVIDIA card and its driver. Runs ``nvidia-smi`` if there is one; blocks for seconds at most."""
    smi = shutil.which("nvidia-smi")
    driver, complaint = _ask_smi(smi) if smi else (None, "")
    driver = driver or _loaded_driver(version_file)
    # WSL has one file for the GPUs of all makers.
    reachable = any(device_files.glob("nvidia[0-9]*")) or (device_files / "dxg").exists()
    in_container = any(mark.exists() for mark in container_marks)
    return NvidiaState(bool(driver or smi) or _has_card(pci_devices), driver, complaint, reachable, in_container)


def _ask_smi(smi: str) -> tuple[str | None, str]:
    """Return the driver's version, or None and the first line of the complaint."""
    command = [smi, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SMI_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return None, f"no answer within {_SMI_SECONDS:g} s"
    except OSError as error:
        return None, str(error.strerror)
    said = done.stdout.strip() or done.stderr.strip()
    version = re.match(r"\d+(\.\d+)+", said)
    if done.returncode == 0 and version:
        return version[0], ""
    return None, said.partition("\n")[0][:200] or f"exit status {done.returncode}"


def _loaded_driver(version_file: Path) -> str | None:
    """Return the version of the kernel module that is loaded; None if there is none."""
    try:
        text = version_file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    version = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", text)
    return version[1] if version else None


def _has_card(pci_devices: Path) -> bool:
    for device in pci_devices.glob("*"):
        try:
            vendor, kind = ((device / name).read_text(encoding="ascii").strip() for name in ("vendor", "class"))
        except (OSError, UnicodeDecodeError):
            continue
        if vendor == _NVIDIA_VENDOR and kind.startswith(_DISPLAY_CLASS):
            return True
    return False


def minimum_driver(cuda: str) -> int | None:
    """Return the first driver branch for a CUDA version such as ``13.0``; None if this program does not know it."""
    major = cuda.partition(".")[0]
    return _MINIMUM_DRIVERS.get(int(major)) if major.isdecimal() else None


def what_to_fix(state: NvidiaState, torch: str, cuda: str | None, *, used: bool) -> str | None:
    """Return the sentence that says what keeps torch from an NVIDIA card; None if nothing does, or there is none.

    ``torch`` is its version and ``cuda`` the one that it was built for, None for a CPU build. ``used`` says whether
    torch found a CUDA device.
    """
    if used or not state.card:
        return None
    if state.in_container and not state.reachable:
        return (
            "This machine has an NVIDIA card, but this container was given no GPU (there is no /dev/nvidia0): start it "
            "with `--gpus all`, which needs NVIDIA's Container Toolkit on the host."
        )
    if state.complaint:
        return (
            f"nvidia-smi says “{state.complaint}”: restart the machine; if that does not help, install NVIDIA's driver "
            "again."
        )
    if state.driver is None:
        return (
            "There is an NVIDIA card, but no driver: install one (on Ubuntu `sudo ubuntu-drivers install`) and restart "
            "the machine."
        )
    if cuda is None:
        return (
            f"There is NVIDIA driver {state.driver}, but this torch is a CPU build: replace it with the CUDA build by "
            f"`{reinstall_command(torch, _index_for(state.driver))}`."
        )
    needed = minimum_driver(cuda)
    if needed is not None and _branch(state.driver) < needed:
        return _too_old(state.driver, torch, cuda, needed)
    if not state.reachable:
        return (
            f"NVIDIA driver {state.driver} is loaded, but there is no /dev/nvidia0: restart the machine, or let "
            "`sudo nvidia-modprobe -c 0 -u` make the device files."
        )
    return (
        f"There is NVIDIA driver {state.driver}, and torch's build for CUDA {cuda} fits it, but torch finds no card: "
        "restart the machine; in a container start it with `--gpus all`; see that CUDA_VISIBLE_DEVICES is not set."
    )


def _too_old(driver: str, torch: str, cuda: str, needed: int) -> str:
    sentence = (
        f"NVIDIA driver {driver} is too old for torch's build for CUDA {cuda}, which needs {needed} or newer: install "
        f"that (on Ubuntu `sudo apt install nvidia-driver-{needed}`) and restart the machine"
    )
    if needed > _MINIMUM_DRIVERS[12] and _branch(driver) >= _MINIMUM_DRIVERS[12]:
        return f"{sentence}, or take the build for CUDA 12 by `{reinstall_command(torch, _CUDA_12_INDEX)}`."
    return f"{sentence}."


def reinstall_command(torch: str, index: str) -> str:
    """Return the command that replaces this version of torch by the same one from another package index."""
    pip = f"{sys.executable} -m pip"
    # Without uninstalling, pip would keep it: 2.13.0+cpu is a 2.13.0, too.
    return f"{pip} uninstall --yes torch && {pip} install torch=={torch.partition('+')[0]} --index-url {index}"


def _index_for(driver: str) -> str:
    """Return the package index with a CUDA build for the driver; PyPI's is for the newest CUDA."""
    return _PYPI if _branch(driver) >= _MINIMUM_DRIVERS[13] else _CUDA_12_INDEX


def _branch(driver: str) -> int:
    return int(driver.partition(".")[0])
