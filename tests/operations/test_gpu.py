"""A GPU that is there and not used: the demo model must not be served instead, and the cause is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.configured_models import named_profiles
from bot.settings import Settings
from zimage_engine.device.memory import GB
from zimage_engine.device.nvidia import NvidiaState, find_nvidia, what_to_fix
from zimage_engine.device.probe import Device, DeviceReport
from zimage_engine.types import NotAvailable

CPU = Device("cpu", "cpu", "CPU", 64 * GB, 60 * GB, bfloat16=True)
GPU = Device("cuda:0", "cuda", "NVIDIA GeForce RTX 4090", 24 * GB, 23 * GB, bfloat16=True)
WORKS = NvidiaState(card=True, driver="590.44.01")
AUTO = {"profile": "auto", "device": "auto"}


def report(torch: str, cuda: str | None, *devices: Device, hip: str | None = None) -> DeviceReport:
    return DeviceReport((*devices, CPU)[0], (*devices, CPU), 60 * GB, torch, cuda, hip)


@pytest.mark.parametrize(
    ("nvidia", "torch", "cause"),
    [
        (NvidiaState(card=True, driver="550.54.14"), report("2.13.0", "13.0"), "550.54.14 is too old for torch"),
        (WORKS, report("2.13.0+cpu", None), "this torch is a CPU build"),
        (WORKS, report("2.13.0", "13.0"), "torch finds no card"),
        (NvidiaState(card=True), report("2.13.0", "13.0"), "an NVIDIA card, but no driver"),
        (
            NvidiaState(card=True, driver="590.44.01", reachable=False, in_container=True),
            report("2.13.0+cpu", None),
            "this container was given no GPU (there is no /dev/nvidia0): start it with `--gpus all`",
        ),
        (NvidiaState(card=True, driver="590.44.01", reachable=False), report("2.13.0", "13.0"), "nvidia-modprobe"),
        (NvidiaState(card=True, complaint="Driver mismatch"), report("2.13.0", "13.0"), "nvidia-smi says “Driver"),
    ],
)  # fmt: skip
def test_a_card_that_torch_cannot_use_is_not_replaced_by_the_demo_model(
    settings: Settings, nvidia: NvidiaState, torch: DeviceReport, cause: str
) -> None:
    auto = settings.model_copy(update=AUTO)
    with pytest.raises(NotAvailable, match="set PROFILE=demo") as caught:
        named_profiles(auto, lambda _: torch, lambda: nvidia)
    assert cause in str(caught.value)
    for on_purpose in ({"profile": "demo"}, {"device": "cpu"}):
        assert named_profiles(auto.model_copy(update=on_purpose), lambda _: torch, lambda: nvidia)[0].name == "demo"


def test_the_demo_model_is_for_machines_without_a_gpu(settings: Settings) -> None:
    auto = settings.model_copy(update=AUTO)
    nothing = NvidiaState(card=False)
    assert named_profiles(auto, lambda _: report("2.13.0+cpu", None), lambda: nothing)[0].name == "demo"
    assert named_profiles(auto, lambda _: report("2.13.0", "13.0", GPU), lambda: WORKS)[0].name == "turbo"
    # An AMD card beside an old NVIDIA one: this torch is built for AMD.
    assert named_profiles(auto, lambda _: report("2.13.0", None, hip="7.1"), lambda: WORKS)[0].name == "demo"


def test_a_container_has_the_device_files_only_if_it_was_given_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    version, mark = tmp_path / "version", tmp_path / ".dockerenv"
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  590.44.01  Release Build\n")
    mark.touch()
    found = find_nvidia(version, tmp_path / "no-pci", tmp_path, (mark,))
    assert found == NvidiaState(card=True, driver="590.44.01", reachable=False, in_container=True)
    assert "--gpus all" in str(what_to_fix(found, "2.13.0", "13.0", used=False))
    (tmp_path / "nvidia0").touch()
    assert find_nvidia(version, tmp_path / "no-pci", tmp_path, (mark,)).reachable
