"""What ``doctor`` finds, and what ends ``run`` before it connects: each is shown on the real files."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import filelock
import pytest
from pydantic import SecretStr

from bot.checks.checks import check_first, findings
from bot.checks.finding import Surroundings
from bot.errors import ExitStatus, StartupError
from bot.settings import Settings
from bot.store.database import MIGRATIONS, migrate
from bot.store.faults import damage_of
from zimage_engine.catalog import DEMO_WEIGHTS
from zimage_engine.device.attention_check import try_out
from zimage_engine.device.memory import GB
from zimage_engine.device.nvidia import NvidiaState
from zimage_engine.device.probe import Device, DeviceReport

CPU = Device("cpu", "cpu", "CPU", 64 * GB, 60 * GB, bfloat16=True)
REPORT = DeviceReport(CPU, (CPU,), 60 * GB, "2.13.0+cpu", None, None)


def around(settings: Settings, **options: Any) -> Surroundings:
    fakes = {"find_devices": lambda _: REPORT, "find_gpu": lambda: NvidiaState(card=False)}
    return Surroundings(settings, **(fakes | options))


def faults(settings: Settings, **options: Any) -> dict[str, str]:
    """Return what an offline doctor would have fixed, except for the token that is not set."""
    found = findings(around(settings, offline=True, **options))
    return {each.name: each.text for each in found if each.ok is False and each.name != "token"}


def first_fault(settings: Settings, **options: Any) -> StartupError:
    with pytest.raises(StartupError) as caught:
        check_first(around(settings, hurried=True, **options))
    return caught.value


@pytest.fixture
def sound(settings: Settings) -> Settings:
    """Settings of a bot that has run before: nothing is to be fixed."""
    migrate(settings.database_path)
    assert faults(settings) == {}
    check_first(around(settings, hurried=True))
    return settings


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the demo model that a test may damage."""
    return Path(shutil.copytree(DEMO_WEIGHTS, tmp_path / "model"))


def test_a_running_bot(sound: Settings) -> None:
    with filelock.FileLock(sound.data_dir / "lock"):
        assert faults(sound)["lock"].startswith(f"Another zimage-bot already uses {sound.data_dir}")
        assert first_fault(sound).exit_status is ExitStatus.TEMPORARY
    assert faults(sound) == {}


def test_a_folder_that_cannot_be_made(settings: Settings) -> None:
    """Not even root can make one there; for others read-only parents and disks say the same."""
    for name in ("data", "cache"):
        changed = settings.model_copy(update={f"{name}_dir": Path("/proc/nowhere/zimage")})
        assert faults(changed)[name].startswith("/proc/nowhere/zimage cannot be used, /proc cannot be written")
        assert f"set another {name.upper()}_DIR" in str(first_fault(changed))
    in_a_file = settings.model_copy(update={"data_dir": Path(__file__) / "data"})
    assert "Not a directory" in faults(in_a_file)["data"]


def test_a_full_disk(sound: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10 * GB, 9 * GB, GB // 10))  # type: ignore[attr-defined]
    assert "the bot needs 2 GB: make room there" in faults(sound)["disk"]
    assert "the bot needs 0.2 GB: make room there" in str(first_fault(sound))


def damage_a_page(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        ((page,),) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'jobs'")
        ((size,),) = database.execute("PRAGMA page_size")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\x55" * size)


def write_no_database(path: Path) -> None:
    path.write_bytes(b"this is no database, whatever its name says" * 100)


@pytest.mark.parametrize("damage", [damage_a_page, write_no_database])
def test_a_damaged_database(sound: Settings, damage: Callable[[Path], None]) -> None:
    damage(sound.database_path)
    assert "is damaged" in faults(sound)["database"]
    assert "`zimage-bot restore FOLDER`" in str(first_fault(sound))


def test_a_large_database_is_read_for_some_seconds_before_the_start(
    sound: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage_a_page(sound.database_path)
    monkeypatch.setattr("bot.store.faults._INSTRUCTIONS", 1)  # as if it were large
    assert damage_of(sound.database_path) is not None
    assert damage_of(sound.database_path, until=0.0) is None, "the time was up before"


def test_missing_migrations(settings: Settings, tmp_path: Path) -> None:
    older = tmp_path / "migrations"
    older.mkdir()
    first = min(MIGRATIONS.glob("0*.sql"))
    shutil.copy(first, older)
    migrate(settings.database_path, older)
    assert "`zimage-bot migrate` does it" in faults(settings)["database"]
    check_first(around(settings, hurried=True))  # the start applies them


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (truncate, "is damaged (SafetensorError): download the weights again."),
        (lambda path: path.write_bytes(b""), "is damaged (SafetensorError): download the weights again."),
        (Path.unlink, "has no weights in safetensors: download the model again."),
    ],
)
def test_weights_that_are_not_whole(
    sound: Settings, model: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    own = sound.model_copy(update={"model": str(model)})
    assert faults(own) == {}
    damage(next((model / "transformer").glob("*.safetensors")))
    assert sentence in faults(own)["weights"]
    assert sentence in str(first_fault(own))


def test_an_attention_kernel_is_tried_out_before_the_weights_are_read() -> None:
    for kernel in ("bogus", "sage"):
        assert f"The attention kernel “{kernel}” cannot be used here" in str(try_out(kernel, "cpu"))
    assert try_out("native", "cpu") is None
    assert "There is no device “gpu”" in str(try_out("native", "gpu"))


@pytest.mark.system  # two processes that import torch
def test_an_attention_kernel_that_does_not_run(sound: Settings) -> None:
    assert "“bogus” cannot be used here" in str(first_fault(sound.model_copy(update={"attention": "bogus"})))
    check_first(around(sound.model_copy(update={"attention": "native"}), hurried=True))


def test_a_preview_decoder_that_is_none(sound: Settings, tmp_path: Path) -> None:
    def fault(decoder: str | Path) -> str:
        own = sound.model_copy(update={"preview_decoder": str(decoder)})
        text = faults(own)["previews"]
        assert str(first_fault(own)) == text
        return text

    assert "is neither a folder nor a model that was downloaded: `hf download " in fault("somebody/no-decoder")
    assert "config.json cannot be read" in fault(tmp_path)
    assert "is not a preview decoder: its config.json says AutoencoderKL" in fault(DEMO_WEIGHTS / "vae")
    tiny = Path(shutil.copytree(DEMO_WEIGHTS / "vae", tmp_path / "tiny"))
    (tiny / "config.json").write_text(json.dumps({"_class_name": "AutoencoderTiny", "latent_channels": 99}))
    assert "is another model's: it has 99 channels" in fault(tiny)
    channels = json.loads((DEMO_WEIGHTS / "vae" / "config.json").read_text())["latent_channels"]
    (tiny / "config.json").write_text(json.dumps({"_class_name": "AutoencoderTiny", "latent_channels": channels}))
    own = sound.model_copy(update={"preview_decoder": str(tiny)})
    assert faults(own) == {}
    truncate(next(tiny.glob("*.safetensors")))
    assert "is damaged" in fault(tiny)


def test_a_gpu_that_is_not_used(sound: Settings) -> None:
    own = sound.model_copy(update={"profile": "auto", "device": "auto"})
    card = {"find_gpu": lambda: NvidiaState(card=True, driver="590.44.01")}
    found = faults(own, **card)
    assert "this torch is a CPU build" in found["driver"]
    assert "set PROFILE=demo" in found["profile"]
    assert "set PROFILE=demo" in str(first_fault(own, **card))


def test_offline_nobody_is_asked(sound: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr("discord.http.HTTPClient.request", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    own = sound.model_copy(update={"model": "somebody/not-here", "discord_token": SecretStr("a.b.c")})
    found = {each.name: (each.ok, each.text) for each in findings(around(own, offline=True))}
    assert found["token"] == (None, "set; Discord was not asked.")
    assert "is not here yet" in found["weights"][1]
