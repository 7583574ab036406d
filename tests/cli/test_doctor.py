"""``zimage-bot doctor`` on a working machine and on one with something to fix."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from functools import cache
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from rich.console import Console

from bot.checks import storage
from bot.checks.checks import check_first, findings
from bot.checks.finding import Surroundings
from bot.cli.doctor import examine
from bot.errors import StartupError
from bot.settings import Settings
from bot.store.database import MIGRATIONS, migrate
from zimage_engine.device.memory import GB
from zimage_engine.device.nvidia import NvidiaState
from zimage_engine.device.probe import Device, DeviceReport, probe

DEVICES = cache(probe)
"""Asks the child process for this machine's devices once for all tests: they stay as they are."""


def around(settings: Settings, **options: Any) -> Surroundings:
    return Surroundings(settings, **({"find_devices": DEVICES} | options))


def states(settings: Settings, **options: Any) -> dict[str, tuple[bool | None, str]]:
    return {finding.name: (finding.ok, finding.text) for finding in findings(around(settings, **options))}


def test_a_sound_machine_needs_a_token_only(settings: Settings) -> None:
    found = states(settings)
    assert [name for name, (ok, _) in found.items() if ok is False] == ["token"]
    assert "everything on the device, float32" in found["memory"][1]
    assert "will be made" in found["database"][1]


def test_the_database_is_looked_at_and_not_changed(settings: Settings) -> None:
    settings.data_dir.mkdir(parents=True)
    sqlite3.connect(settings.database_path).close()
    names = ", ".join(sorted(path.stem for path in MIGRATIONS.glob("0*.sql")))
    ok, text = states(settings)["database"]
    assert (ok, text.startswith(f"{names} must still be applied: `zimage-bot migrate` does it")) == (False, True)
    migrate(settings.database_path)
    assert "is up to date and sound" in states(settings)["database"][1]
    settings.database_path.write_bytes(b"this is no database, whatever its name says" * 100)
    assert states(settings)["database"][0] is False


@pytest.mark.parametrize(
    ("changes", "name", "sentence"),
    [
        ({"device": "gpu"}, "device", "There is no device “gpu”"),
        ({"model": "/no/weights"}, "weights", "neither a folder nor a model"),
        ({"bot_owner_ids": frozenset({1})}, "owner", "set OWNER_GUILD_ID, too"),
        ({"owner_guild_id": 1}, "owner", "set BOT_OWNER_IDS, too"),
    ],
)
def test_what_is_to_be_mended_is_said(settings: Settings, changes: dict[str, object], name: str, sentence: str) -> None:
    found = states(settings.model_copy(update=changes))
    ok, text = found[name]
    assert ok is False
    assert sentence in text
    if name == "weights":
        assert "memory" not in found, "what is wrong with the weights is said once"


def test_the_table_never_shows_the_token(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody listens there: the check ends as it would without a network.
    monkeypatch.setattr("discord.http.Route.BASE", "http://127.0.0.1:9/api")
    out = StringIO()
    secret = settings.model_copy(update={"discord_token": SecretStr("very.secret.token")})
    assert not examine(around(secret), Console(file=out, width=200))
    assert "Discord cannot be asked" in out.getvalue()
    assert "very.secret.token" not in out.getvalue()


GPU = Device("cuda:0", "cuda", "NVIDIA GeForce RTX 4090", 24 * GB, 23 * GB, bfloat16=True)
CPU = Device("cpu", "cpu", "CPU", 64 * GB, 60 * GB, bfloat16=True)


def driver_finding(settings: Settings, state: NvidiaState, report: DeviceReport) -> dict[str, tuple[bool | None, str]]:
    auto = settings.model_copy(update={"device": "auto"})
    return states(auto, find_devices=lambda _: report, find_gpu=lambda: state)


def test_a_gpu_is_shown_with_its_driver(settings: Settings) -> None:
    report = DeviceReport(GPU, (GPU, CPU), 60 * GB, "2.13.0", "13.0", None)
    found = driver_finding(settings, NvidiaState(card=True, driver="590.44.01"), report)
    assert found["driver"] == (True, "NVIDIA 590.44.01; torch's build is for CUDA 13.0, which needs 580 or newer.")
    assert found["device"] == (True, "NVIDIA GeForce RTX 4090, 23.0 of 24.0 GB free, CUDA 13.0, bfloat16")


def test_a_gpu_that_torch_cannot_use_is_to_be_fixed(settings: Settings) -> None:
    report = DeviceReport(CPU, (CPU,), 60 * GB, "2.13.0+cpu", None, None)
    found = driver_finding(settings, NvidiaState(card=True, driver="590.44.01"), report)
    assert found["driver"][0] is False
    assert "this torch is a CPU build: replace it with the CUDA build by `" in found["driver"][1]
    on_purpose = states(settings.model_copy(update={"device": "cpu"}), find_devices=lambda _: report)
    assert "driver" not in on_purpose, "DEVICE=cpu is what the operator wants"
    found = driver_finding(settings, NvidiaState(card=False), report)
    assert "driver" not in found
    assert found["device"] == (None, "CPU only: fine for PROFILE=demo, minutes a picture for the others.")


def test_each_of_several_devices_is_shown(settings: Settings) -> None:
    second = replace(GPU, name="cuda:1", memory_free=8 * GB)
    report = DeviceReport(GPU, (GPU, second, CPU), 60 * GB, "2.13.0", "13.0", None, others=(second,))
    several = settings.model_copy(update={"device": "cuda:0*2,cuda:1=demo"})
    found = list(findings(around(several, find_devices=lambda _: report)))
    assert [each.text for each in found if each.name == "device"] == [
        "cuda:0: NVIDIA GeForce RTX 4090, 23.0 of 24.0 GB free, CUDA 13.0, bfloat16",
        "cuda:1: NVIDIA GeForce RTX 4090, 8.0 of 24.0 GB free, CUDA 13.0, bfloat16",
    ]
    assert [each.text for each in found if each.name == "devices"] == [
        "3 workers: cuda:0#1 (demo), cuda:0#2 (demo), cuda:1 (demo)"
    ]


def test_the_memory_is_planned_for_each_device_and_its_models(settings: Settings) -> None:
    second = replace(GPU, name="cuda:1", memory_free=9 * GB)
    report = DeviceReport(GPU, (GPU, second, CPU), 60 * GB, "2.13.0", "13.0", None, others=(second,))
    models = {"profile": "auto", "profiles": ("demo", "demo-guided"), "model": None}

    def plans(device: str, used: DeviceReport = report, **cluster: object) -> list[str]:
        several = settings.model_copy(update={**models, "device": device, **cluster})
        found = findings(around(several, find_devices=lambda _: used))
        return [each.text for each in found if each.name == "memory"]

    assert plans("cuda:0=demo+demo-guided,cuda:1*4=demo") == [
        "cuda:0: everything on the device, bfloat16; demo, demo-guided: together, as far as they fit",
        "cuda:1: everything on the device, bfloat16; 4 workers, each with its share of the memory",
    ]
    (text,) = plans("cuda:1*9", replace(report, chosen=second, others=()))
    assert "GB more GPU memory than is free" in text, "a ninth of 9 GB is too little"
    assert text.endswith("Each worker has its part of the memory: set fewer, in DEVICE or, on a cluster, in WORKERS.")
    alone = replace(report, chosen=CPU, others=(), host_memory_free=60 * GB)
    (text,) = plans("cpu*4", alone)
    assert text.endswith("; 4 workers, each with its share of the memory; at most 15.0 GB of the machine's")
    # Of a cluster that the bot starts on its own machine, and of one elsewhere.
    (text,) = plans("auto", replace(alone, devices=(CPU,)), ray_address="local", workers=4)
    assert text.endswith("; 4 workers, each with its share of the memory; at most 15.0 GB of the machine's")
    found = plans("auto", report, ray_address="local")
    assert [text.partition(": ")[0] for text in found] == ["cuda:0", "cuda:1"]
    assert plans("auto", report, ray_address="10.0.0.1:6379") == []


def test_a_device_that_is_not_there_keeps_the_bot_from_starting(settings: Settings) -> None:
    report = DeviceReport(GPU, (GPU, CPU), 60 * GB, "2.13.0", "13.0", None)
    several = settings.model_copy(update={"device": "cuda:0,cuda:1"})
    with pytest.raises(StartupError, match="There is no device “cuda:1” here: DEVICE may name cuda:0 and cpu, or be"):
        check_first(around(several, hurried=True, find_devices=lambda _: report))


def test_a_model_that_no_device_may_serve_keeps_the_bot_from_starting(settings: Settings) -> None:
    report = DeviceReport(GPU, (GPU, CPU), 60 * GB, "2.13.0", "13.0", None)
    several = settings.model_copy(
        update={"profile": "auto", "profiles": ("turbo", "base"), "device": "cuda:0=turbo", "model": None}
    )
    with pytest.raises(StartupError) as refused:
        check_first(around(several, hurried=True, find_devices=lambda _: report))
    assert str(refused.value) == "No device may serve the model base: add it in DEVICE, like cuda:0=turbo+base."
    assert refused.value.exit_status == 78


def test_weights_that_are_not_here_name_the_command_and_the_room(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.checks.model.complete_profile", lambda profile: profile)  # asks the hub
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: SimpleNamespace(free=10 * GB))
    found = list(findings(around(settings.model_copy(update={"profile": "turbo", "model": "somebody/not-here"}))))
    assert "`zimage-bot download` fetches it" in next(each.text for each in found if each.name == "weights")
    disks = [each for each in found if each.name == "disk"]
    assert [each.ok for each in disks] == [True, False]
    assert "the bot needs 35 GB: make room there" in disks[1].text


def test_the_disk_is_looked_at_where_the_hub_cannot_be_reached(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found = list(findings(around(settings.model_copy(update={"model": "somebody/not-here"}))))
    assert [each.text for each in found if each.name == "weights"] == [
        "“somebody/not-here” is not on this machine, and HF_HUB_OFFLINE forbids to download it: unset it."
    ]
    assert len([each for each in found if each.name == "disk"]) == 2
