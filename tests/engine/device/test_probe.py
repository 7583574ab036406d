"""The child process that reports this machine's devices."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from bot.configured_models import choose_profiles
from bot.settings import Settings
from zimage_engine.device.devices import all_devices, pick_device
from zimage_engine.device.memory import DeviceKind
from zimage_engine.device.probe import Device, DeviceReport, probe
from zimage_engine.types import DeviceNotFound, NotAvailable


def test_the_report_is_what_torch_says_in_this_process() -> None:
    report = probe()
    assert report.torch == torch.__version__
    assert (report.cuda, report.hip) == (torch.version.cuda, torch.version.hip)
    assert [device.name for device in report.devices] == [str(device) for device in all_devices()]
    assert report.chosen.name == str(pick_device())
    cpu = report.devices[-1]
    total = psutil.virtual_memory().total
    assert (cpu.kind, cpu.title, cpu.memory_total, cpu.bfloat16) == ("cpu", "CPU", total, True)
    assert 0 < report.host_memory_free <= total


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(
        DeviceNotFound, match=r"^There is no device “gpu” here: set DEVICE to auto, cpu, cuda or mps\.$"
    ):
        probe("gpu")


def test_a_device_is_chosen_by_name_and_the_caller_imports_no_torch() -> None:
    code = "import sys; from zimage_engine.device.probe import probe; print(probe('cpu').chosen.name, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    chosen, *modules = done.stdout.split()
    assert chosen == "cpu"
    assert "torch" not in modules


def test_a_probe_that_hangs_or_fails_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        NotAvailable, match=r"^The devices of this machine did not answer within 0.01 s: .*DEVICE=cpu\.$"
    ):
        probe(seconds=0.01)
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'Traceback …' >&2\necho 'ImportError: libcudart.so.12' >&2\nexit 1\n")
    broken.chmod(stat.S_IRWXU)
    monkeypatch.setattr(sys, "executable", os.fspath(broken))
    with pytest.raises(NotAvailable, match=r"^torch cannot be used here \(ImportError: libcudart\.so\.12\): install "):
        probe()
    broken.write_text("#!/bin/sh\necho 'no JSON'\n")
    with pytest.raises(NotAvailable, match=r"^The devices of this machine cannot be read: set DEVICE=cpu\.$"):
        probe()


@pytest.mark.parametrize(("kind", "name"), [("cpu", "demo"), ("cuda", "turbo"), ("mps", "turbo")])
def test_the_automatic_profile_follows_the_chosen_device(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, kind: DeviceKind, name: str
) -> None:
    device = Device(f"{kind}:0", kind, "", 0, 0, bfloat16=True)
    asked: list[str] = []

    def report(wanted: str) -> DeviceReport:
        asked.append(wanted)
        return DeviceReport(device, (device,), 0, "2", None, None)

    monkeypatch.setattr(
        "bot.configured_models.complete_profile", lambda profile: profile
    )  # turbo's files are on the hub
    (chosen,) = choose_profiles(settings.model_copy(update={"profile": "auto", "device": "cuda:1"}), report)
    assert (chosen.name, asked) == (name, ["cuda:1"])
    assert choose_profiles(settings.model_copy(update={"profile": "auto", "device": "cpu"}), report)[0].name == "demo"
    assert asked == ["cuda:1"], "the CPU is known without asking"
