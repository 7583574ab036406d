"""Settings that are mistyped, wrong or unreadable: one sentence and a status of its own, never a traceback."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bot.cli.main import app
from bot.errors import ExitStatus, StartupError, WrongUsage
from bot.settings import Settings, read_settings, unknown_names

Run = Callable[..., Result]
COMMANDS = ("run", "migrate", "doctor")

UNCHECKED = {"model", "device", "attention", "preview_decoder"}
"""Texts that only files or a device can prove wrong: test_checks.py."""

WRONG = {"data_dir": "~nobody-of-that-name/x", "cache_dir": "~nobody-of-that-name/x", "backup_dir": "~nobody-here/x"}
WRONG |= {"discord_token": "tökén"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in ``tmp_path`` and checks that it ends in one sentence of standard error."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

    def ran(command: str, **environment: str) -> Result:
        done = CliRunner(env=environment).invoke(app, [command])
        assert isinstance(done.exception, SystemExit), done.exc_info
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
        return done

    return ran


@pytest.mark.parametrize("field", sorted(Settings.model_fields.keys() - UNCHECKED))
def test_each_wrong_setting_is_one_sentence(run: Run, tmp_path: Path, field: str) -> None:
    for command in COMMANDS:
        done = run(command, **{field.upper(): WRONG.get(field, "-wrong-")})
        assert done.exit_code == ExitStatus.CONFIGURATION
        assert done.stderr.startswith(f"The setting {field.upper()} is not right: ")
        assert WRONG.get(field, "-wrong-") not in done.stderr, "it may be a secret"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["inf", "nan", "1e300", "9" * 30])
def test_a_number_that_is_out_of_bounds_is_one_sentence(run: Run, value: str) -> None:
    """Such as CREDITS_PER_DAY=inf: the bot connected, crashed and was started again, until no session was left."""
    texts = UNCHECKED | {"data_dir", "cache_dir", "backup_dir", "discord_token"}
    for field in sorted(Settings.model_fields.keys() - texts):
        done = run("migrate", **{field.upper(): f"5={value}" if field == "server_weights" else value})
        assert (done.exit_code, done.stderr.partition(" is not right")[0]) == (78, f"The setting {field.upper()}")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_key_that_nearly_is_a_setting_is_named(run: Run, tmp_path: Path, command: str) -> None:
    for key, meant in (
        ("ALOWED_GUILDS", "ALLOWED_GUILDS"), ("DISCORD_BOT_TOKEN", "DISCORD_TOKEN"), ("retention_day", "RETENTION_DAYS")
    ):  # fmt: skip
        (tmp_path / ".env").write_text(f"{key}=1\n", encoding="utf-8")
        done = run(command)
        assert done.exit_code == ExitStatus.CONFIGURATION
        assert done.stderr == f"{key} in .env is not a setting: do you mean {meant}?\n"
    (tmp_path / ".env").unlink()
    assert run(command, ALOWED_GUILDS="1").stderr == "ALOWED_GUILDS is not a setting: do you mean ALLOWED_GUILDS?\n"


def test_settings_of_libraries_are_passed_on_unless_the_environment_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text("HF_HOME=/big/disk\nCUDA_VISIBLE_DEVICES=1\nCOLOUR=red\nPROFILE=demo\n", encoding="utf-8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("HF_HOME", "restored afterwards")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("MODES", "of another program")
    assert read_settings(file).profile == "demo"
    assert (os.environ["HF_HOME"], os.environ["CUDA_VISIBLE_DEVICES"]) == ("/big/disk", "0")
    assert unknown_names(file) == ["COLOUR"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_of_settings_that_cannot_be_read_is_one_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    file = tmp_path / ".env"
    file.write_bytes("PROFILE=démo\n".encode("latin-1"))
    done = run(command)
    assert (done.exit_code, done.stderr) == (78, ".env is not encoded in UTF-8 (byte 10): save it again as UTF-8.\n")
    file.unlink()
    file.mkdir()  # what a container makes of a mounted file that is missing
    assert ".env cannot be read (Is a directory)" in run(command).stderr
    file.rmdir()
    file.write_text("PROFILE=demo\n", encoding="utf-8")
    monkeypatch.setattr(Path, "open", refuse)
    assert ".env cannot be read (Permission denied)" in run(command).stderr


@pytest.mark.parametrize("line", ["ALLOWED_GUILDS: 5", "ALLOWED_GUILDS 5", "ALLOWED_GUILDS", 'DISCORD_TOKEN="secret'])
def test_a_line_that_sets_nothing_is_not_skipped(run: Run, tmp_path: Path, line: str) -> None:
    """The bot would be open to everybody, as with a mistyped name."""
    (tmp_path / ".env").write_text(f"# mine\nPROFILE=demo\n\n{line}\nMAX_COUNT=2\n", encoding="utf-8")
    for command in COMMANDS:
        done = run(command)
        assert done.exit_code == ExitStatus.CONFIGURATION
        assert done.stderr == "Line 4 of .env has no NAME=VALUE: correct it, or begin it with #.\n"


def refuse(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_the_home_folder_is_written_as_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/zimage")
    for name in ("DATA_DIR", "CACHE_DIR", "MODEL", "PREVIEW_DECODER"):
        monkeypatch.setenv(name, "~/there")
    read = read_settings(Path("/no/file"))
    assert read.data_dir == read.cache_dir == Path("/home/zimage/there")
    assert read.model == read.preview_decoder == "/home/zimage/there"


def test_a_wrong_option_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage):
        read_settings(Path("/no/file"), profile="sdxl")
    with pytest.raises(StartupError) as caught:
        read_settings(Path("/no/file"), max_count="many")
    assert caught.value.exit_status is ExitStatus.USAGE


def test_statuses_are_those_of_sysexits() -> None:
    names = {"USAGE": os.EX_USAGE, "NETWORK": os.EX_UNAVAILABLE, "DEVICE_LOST": os.EX_SOFTWARE}
    names |= {"TEMPORARY": os.EX_TEMPFAIL, "CONFIGURATION": os.EX_CONFIG, "FOUND": 1}
    assert {status.name: status.value for status in ExitStatus} == names
