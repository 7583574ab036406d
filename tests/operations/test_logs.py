"""With ``LOG_FORMAT=json`` every line is JSON: crashes, warnings, what libraries print, and the reason for stopping."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import sys
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from discord.shard import Shard
from tqdm import tqdm
from typer.testing import CliRunner

from bot.cli.main import app
from bot.logs import RECONNECTS, configure_logging, crashes_logged, prints_logged
from bot.settings import Settings
from bot.store.database import migrate


def log_json(settings: Settings) -> None:
    """Log as JSON to the standard error that there is now."""
    configure_logging(settings.model_copy(update={"log_format": "json"}))


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_what_libraries_print_is_logged_and_bars_are_not(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    log_json(settings)
    with prints_logged():
        own = logging.StreamHandler()  # what transformers, diffusers and huggingface_hub make when they are imported
        own.handle(logging.makeLogRecord({"msg": "Retrying in 1s [Retry 1/5]."}))
        for _ in tqdm(range(3), desc="Loading weights"):
            pass
        sys.stderr.write("one\ntwo\nwithout an end")
    assert [line["text"] for line in lines(capsys)] == ["Retrying in 1s [Retry 1/5].", "one", "two"]


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
async def test_a_lost_connection_is_one_line_and_its_traceback_is_for_debugging(
    settings: Settings, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    """discord.py logs 55 lines for each, as an error, however soon it is connected again."""
    log_json(settings.model_copy(update={"log_level": level}))
    client = SimpleNamespace(is_closed=lambda: False)
    shard = object.__new__(Shard)
    shard.ws = SimpleNamespace(shard_id=3)  # type: ignore[assignment]
    shard._client, shard._reconnect = client, True  # type: ignore[assignment]
    shard._dispatch = shard._queue_put = lambda *_: None  # type: ignore[assignment]
    shard._backoff = SimpleNamespace(delay=lambda: 0.0)  # type: ignore[assignment]
    try:
        raise ConnectionResetError("gone")
    except OSError as error:
        await shard._handle_disconnect(error)
    found = lines(capsys)
    assert found[-1]["event"] == ("Attempting a reconnect for shard ID 3 in 0.00s (ConnectionResetError: gone)")
    assert found[-1]["level"] == "warning"
    assert "exception" not in found[-1]
    traced = [line for line in found if "Traceback" in line.get("exception", "")]
    assert [line["event"] for line in traced] == (["connection_lost"] if level == "DEBUG" else [])
    for module in (discord.client, discord.shard):
        assert any(begin in inspect.getsource(module) for begin in RECONNECTS), "discord.py words it in another way"


def test_crashes_and_warnings_are_logged(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    log_json(settings)

    def crash() -> None:
        raise RuntimeError("in a thread")

    class Broken:
        def __del__(self) -> None:
            raise RuntimeError("ignored")

    async def forgotten() -> None:
        task = asyncio.create_task(asyncio.sleep(0, crash), name="forgotten")
        task.add_done_callback(lambda _: crash())
        await task
        await asyncio.sleep(0)

    def main() -> None:
        thread = threading.Thread(target=crash, name="helper")
        thread.start()
        thread.join()
        Broken()
        warnings.simplefilter("always")
        warnings.warn("this is old", stacklevel=1)
        asyncio.run(forgotten())
        raise KeyError("main thread")

    with warnings.catch_warnings(), pytest.raises(SystemExit) as end, crashes_logged():
        main()
    assert end.value.code == 1
    written = lines(capsys)
    assert [line["event"] for line in written[:2]] == ["thread_crashed", "exception_ignored"]
    assert "this is old" in written[2]["event"]
    assert "Exception in callback" in written[3]["event"]
    assert written[4]["event"] == "crashed"
    assert "KeyError: 'main thread'" in written[4]["exception"]


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "DISCORD_TOKEN is not set"),
        ({"MAX_COUNT": "many"}, "The setting MAX_COUNT is not right"),
        ({"ALOWED_GUILDS": "1"}, "do you mean ALLOWED_GUILDS?"),
    ],
)
def test_the_reason_for_stopping_is_the_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    done = CliRunner(env={"LOG_FORMAT": "json"} | environment).invoke(app, ["run"])
    (line,) = done.stderr.splitlines()
    last = json.loads(line)
    assert (last["event"], last["level"], last["status"], done.exit_code) == ("stopped", "error", 78, 78)
    assert reason in last["reason"]


def test_migrations_are_not_a_page_of_log_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    migrate(tmp_path / "zimage.sqlite3")
    assert capsys.readouterr().err == ""


def test_for_people_the_last_line_is_the_sentence_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a warning about something that was printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "zimage.sqlite3").write_bytes(b"no database" * 999)
    environment = {"DISCORD_TOKEN": "of.no.use", "PROFILE": "demo", "DEVICE": "cpu", "LOG_FORMAT": "console"}
    done = CliRunner(env=environment).invoke(app, ["run"])
    assert done.exit_code == 78
    assert done.stderr.splitlines()[-1].startswith("data/zimage.sqlite3 is damaged (file is not a database): put back")
