"""NVIDIA's driver: what this machine says of it, and what is to be done where torch cannot use it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from zimage_engine.device.nvidia import NvidiaState, find_nvidia, what_to_fix

MODULE = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (builder)\nGCC version: 13\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for ``/proc``, ``/sys`` and the PATH of a machine, with nothing of NVIDIA's."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "pci").mkdir()
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def add_smi(machine: Path, script: str) -> None:
    smi = machine / "bin" / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\n{script}\n")
    smi.chmod(0o755)


def add_card(machine: Path, vendor: str, kind: str) -> None:
    device = machine / "pci" / f"0000:{vendor}:{kind}"
    device.mkdir()
    (device / "vendor").write_text(f"0x{vendor}\n")
    (device / "class").write_text(f"0x{kind}\n")


def found(machine: Path) -> NvidiaState:
    return find_nvidia(machine / "version", machine / "pci", machine / "dev", ())


def test_the_driver_is_what_nvidia_smi_says_else_what_the_kernel_has_loaded(machine: Path) -> None:
    assert found(machine) == NvidiaState(card=False)
    (machine / "version").write_text(MODULE.format("570.86.15"))
    assert found(machine) == NvidiaState(card=True, driver="570.86.15")
    add_smi(machine, 'test "$1" = --query-gpu=driver_version && echo 580.65.06 && echo 580.65.06')
    assert found(machine) == NvidiaState(card=True, driver="580.65.06")


def test_a_driver_that_does_not_answer_is_quoted(machine: Path) -> None:
    complaint = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    add_smi(machine, f'echo "{complaint}"\nexit 9')
    assert found(machine) == NvidiaState(card=True, complaint=complaint)
    add_smi(machine, "exit 3")
    assert found(machine).complaint == "exit status 3"
    (machine / "version").write_text(MODULE.format("570.86.15"))
    assert found(machine).driver == "570.86.15"


def test_a_card_without_a_driver_is_found_among_the_pci_devices(machine: Path) -> None:
    add_card(machine, "8086", "030000")  # a graphics card of another maker
    add_card(machine, "10de", "040300")  # the sound device of an NVIDIA card
    (machine / "pci" / "unreadable").mkdir()
    assert not found(machine).card
    add_card(machine, "10de", "030000")
    assert found(machine) == NvidiaState(card=True)


NEW, MIDDLE, OLD = (NvidiaState(card=True, driver=version) for version in ("580.65.06", "535.183.01", "470.256.02"))
CPU_BUILD = "There is NVIDIA driver {}, but this torch is a CPU build: "
PIP = f"`{sys.executable} -m pip uninstall --yes torch && {sys.executable} -m pip install torch==2.13.0 --index-url "


@pytest.mark.parametrize(
    ("state", "torch", "cuda", "sentences"),
    [
        (NvidiaState(card=False), "2.13.0+cpu", None, None),
        (
            NvidiaState(card=True),
            "2.13.0",
            "13.0",
            ("no driver: install one (on Ubuntu `sudo ubuntu-drivers install`)",),
        ),
        (
            NvidiaState(card=True, driver="580.65.06", complaint="it failed"),
            "2.13.0",
            "13.0",
            ("nvidia-smi says “it failed”: restart the machine",),
        ),
        (NEW, "2.13.0+cpu", None, (CPU_BUILD.format("580.65.06"), PIP + "https://pypi.org/simple`.")),
        (
            MIDDLE,
            "2.13.0+cpu",
            None,
            (CPU_BUILD.format("535.183.01"), PIP + "https://download.pytorch.org/whl/cu126`."),
        ),
        (
            MIDDLE,
            "2.13.0",
            "13.0",
            (
                "535.183.01 is too old for torch's build for CUDA 13.0, which needs 580 or newer",
                "`sudo apt install nvidia-driver-580`",
                PIP + "https://download.pytorch.org/whl/cu126`.",
            ),
        ),
        (OLD, "2.13.0+cu126", "12.6", ("needs 525 or newer", "nvidia-driver-525`) and restart the machine.")),
        (OLD, "2.13.0", "13.0", ("needs 580 or newer", "nvidia-driver-580`) and restart the machine.")),
        (MIDDLE, "2.13.0+cu126", "12.6", ("fits it, but torch finds no card",)),
        (NEW, "3.0", "14.1", ("fits it, but torch finds no card",)),
    ],
)
def test_what_keeps_torch_from_a_card_is_one_sentence(
    state: NvidiaState, torch: str, cuda: str | None, sentences: tuple[str, ...] | None
) -> None:
    said = what_to_fix(state, torch, cuda, used=False)
    assert what_to_fix(state, torch, cuda, used=True) is None
    assert (said is None) is (sentences is None)
    for sentence in sentences or ():
        assert said is not None
        assert sentence in said
