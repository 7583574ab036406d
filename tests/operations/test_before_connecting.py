"""What is wrong is found before IDENTIFY: each one uses up a session of the day, and the last resets the token."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import filelock
import pytest

from bot.cli.run import run_bot
from bot.errors import DeviceGone, ExitStatus, StartupError
from bot.settings import Settings
from tests.helpers.faults import Immediate
from tests.helpers.loopback import TOKEN
from tests.wire.test_wire import elsewhere
from zimage_engine.types import ModelNotFound


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load none: a thread that loads one would outlive the test."""
    monkeypatch.setattr("zimage_engine.device.worker.Worker.load", lambda *_: Immediate())


def write_no_database(settings: Settings) -> None:
    settings.data_dir.mkdir()
    settings.database_path.write_bytes(b"this is no database, whatever its name says" * 100)


def write_other_database(settings: Settings) -> None:
    settings.data_dir.mkdir()
    with closing(sqlite3.connect(settings.database_path)) as connection:
        connection.execute("CREATE TABLE films (title)")


def do_nothing(_: Settings) -> None:
    pass


@pytest.mark.parametrize(
    ("changes", "prepare", "sentence", "status"),
    [
        ({"data_dir": Path("/proc/nowhere")}, do_nothing, "/proc/nowhere cannot be used", ExitStatus.CONFIGURATION),
        (
            {"backup_keep": 1, "backup_dir": Path("/proc/nowhere")},
            do_nothing,
            "/proc/nowhere cannot be used.*or set another BACKUP_DIR",
            ExitStatus.CONFIGURATION,
        ),
        ({}, write_no_database, "is damaged .file is not a database.: put back", ExitStatus.CONFIGURATION),
        (
            {},
            write_other_database,
            "is the database of another program, and was left as it is",
            ExitStatus.CONFIGURATION,
        ),
        ({"model": "/no/weights"}, do_nothing, "neither a folder nor a model", ExitStatus.CONFIGURATION),
        ({"preview_decoder": "/no/decoder"}, do_nothing, "neither a folder nor a model", ExitStatus.CONFIGURATION),
        ({"message_content_intent": True}, do_nothing, "does not grant an intent", ExitStatus.CONFIGURATION),
    ],
)
def test_a_fault_uses_up_no_session(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    prepare: Callable[[Settings], None],
    sentence: str,
    status: ExitStatus,
) -> None:
    own = settings.model_copy(update=changes)
    prepare(own)
    with elsewhere(monkeypatch) as discord, pytest.raises(StartupError, match=sentence) as caught:
        run_bot(own, TOKEN)
    assert (caught.value.exit_status, discord.gateway.identified) == (status, 0)


def test_a_second_bot_uses_up_no_session(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.data_dir.mkdir()
    with filelock.FileLock(settings.data_dir / "lock"), elsewhere(monkeypatch) as discord:
        with pytest.raises(StartupError, match="Another zimage-bot already uses") as caught:
            run_bot(settings, TOKEN)
        assert (caught.value.exit_status, discord.gateway.identified) == (ExitStatus.TEMPORARY, 0)


def test_hardly_any_sessions_are_left(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with elsewhere(monkeypatch) as discord:
        discord.state.sessions_left = 3
        with pytest.raises(StartupError, match="3 more of 1000 sessions") as caught:
            run_bot(settings, TOKEN)
    assert (caught.value.exit_status, discord.gateway.identified) == (ExitStatus.TEMPORARY, 0)


@pytest.mark.parametrize(
    ("shards", "left", "sentence"),
    [(5000, 999, "SHARDS=5000 takes more sessions than the 1000 .*: leave it empty"), (100, 110, "allows 110 more")],
)
def test_shards_use_up_no_more_sessions_than_are_left(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, shards: int, left: int, sentence: str
) -> None:
    with elsewhere(monkeypatch) as discord:
        discord.state.sessions_left = left
        with pytest.raises(StartupError, match=sentence):
            run_bot(settings.model_copy(update={"shards": shards}), TOKEN)
    assert discord.gateway.identified == 0


@pytest.mark.parametrize(
    ("code", "sentence", "status"),
    [
        (4004, "does not accept the token", ExitStatus.CONFIGURATION),
        (4011, "leave SHARDS empty, or set it higher", ExitStatus.CONFIGURATION),
        (4013, "does not know an intent", ExitStatus.CONFIGURATION),
        (4014, "switch on Message Content Intent", ExitStatus.CONFIGURATION),
        (4012, "Discord refuses the connection", ExitStatus.NETWORK),
    ],
)
def test_what_the_gateway_refuses_has_a_sentence_of_its_own(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, code: int, sentence: str, status: ExitStatus
) -> None:
    with elsewhere(monkeypatch, gateway_close=code) as discord, pytest.raises(StartupError, match=sentence) as caught:
        run_bot(settings, TOKEN)
    assert (caught.value.exit_status, discord.gateway.identified) == (status, 1)


def test_a_model_that_cannot_be_loaded_is_configuration(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ModelNotFound("The weights in /there cannot be read.")

    monkeypatch.setattr("zimage_engine.device.worker.Worker.load", fail)
    with elsewhere(monkeypatch), pytest.raises(StartupError, match="cannot be read") as caught:
        run_bot(settings, TOKEN)
    assert caught.value.exit_status is ExitStatus.CONFIGURATION
    assert not isinstance(caught.value, DeviceGone)
