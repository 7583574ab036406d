"""``zimage-bot export``, ``forget`` and ``config``: what an operator does for people without Discord."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from zipfile import ZipFile

import filelock
import pytest
from click.testing import Result
from typer.testing import CliRunner

from bot.cli.main import app
from bot.playground.world import World
from bot.privacy.outside_discord import forget_in_bot
from bot.settings import Settings
from bot.store import operator_requests
from bot.store.database import unapplied
from tests.helpers.databases import add_database
from tests.helpers.job_worlds import PROMPT, change
from tests.helpers.pictures import drawn, rows
from tests.helpers.privacy import all_text, another_member, files_in


def run(settings: Settings, *arguments: str) -> Result:
    return CliRunner(env={"DATA_DIR": str(settings.data_dir)}).invoke(app, arguments)


async def test_an_export_beside_the_running_bot_has_the_same_as_in_discord(world: World, tmp_path: Path) -> None:
    await drawn(world, steps=1)
    noa = another_member(world)
    await noa.slash(world.channel, "imagine", prompt="a secret of somebody else", steps=1)
    settings = world.env.bot.settings
    done = await asyncio.to_thread(run, settings, "export", str(world.member.id), "--to", str(tmp_path / "out"))
    assert done.exit_code == 0, done.stderr
    (path,) = (tmp_path / "out").iterdir()
    assert done.stdout.strip() == str(path)
    with ZipFile(path) as packed:
        (job,) = json.loads(packed.read("jobs.json"))
        assert job["spec"]["prompt"] == PROMPT
        assert sum(name.startswith("images/") for name in packed.namelist()) == 1


async def test_the_running_bot_deletes_what_the_operator_asks_for(world: World) -> None:
    await drawn(world, steps=1)
    noa = another_member(world)
    await noa.slash(world.channel, "imagine", prompt="a picture of somebody else", steps=1)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, count=4, steps=9)  # asks about the price
    assert len(world.env.bot.parts.questions.open_ids) == 1
    asked = asyncio.create_task(forget_in_bot(world.env.bot.database, world.member.id, 20.0))
    await asyncio.sleep(0)
    while not asked.done():
        await world.env.bot.services.check()
        await asyncio.sleep(0.01)
    assert asked.result() == operator_requests.Answer(1, 1, 0)
    assert world.env.bot.parts.questions.open_ids == [], "a question holds the request in memory"
    assert PROMPT not in all_text(world)
    assert "somebody else" in all_text(world)
    assert len(files_in(world, "images")) == 1
    assert await rows(world, "SELECT name FROM facts WHERE name LIKE 'forget%'") == []


async def test_a_database_that_fails_stops_neither_deliveries_nor_the_operators_requests(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await drawn(world, steps=1)
    bot = world.env.bot
    with monkeypatch.context() as patch:
        patch.setattr(bot.database, "write", full)
        patch.setattr(bot.database, "read", full)
        await bot._check_deliveries()  # an exception would end the loop that posts results
    asked = asyncio.create_task(forget_in_bot(bot.database, world.member.id, 20.0))
    await asyncio.sleep(0)
    while not asked.done():
        await bot._check_deliveries()
        await asyncio.sleep(0.01)
    assert asked.result() is not None
    assert PROMPT not in all_text(world)


async def full(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


async def test_without_a_bot_the_command_deletes_itself_open_requests_too(world: World) -> None:
    await drawn(world, steps=1)
    await change(world, "UPDATE jobs SET state = 'queued', ended_at = NULL, due_at = NULL")
    settings, member_id = world.env.bot.settings, world.member.id
    await world.env.bot.close()
    done = await asyncio.to_thread(run, settings, "forget", str(member_id))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("Deleted: 1 request and ")
    assert PROMPT not in all_text(world)
    assert files_in(world, "images") == []


def test_a_folder_without_a_database_is_said(settings: Settings) -> None:
    for command in ("export", "forget"):
        done = run(settings, command, "5")
        assert done.exit_code == 78
        assert done.stderr == f"There is no database in {settings.data_dir}: check DATA_DIR.\n"


def test_what_cannot_be_read_or_written_is_one_sentence(settings: Settings, tmp_path: Path) -> None:
    """Ids are as long as somebody types them; folders are read-only, or files."""
    add_database(settings.database_path)
    for command in ("export", "forget"):
        assert run(settings, command, "9" * 30).exit_code == 2, "wrong usage, before it is 64"
    file = tmp_path / "a-file"
    file.touch()
    done = run(settings, "export", "5", "--to", str(file))
    assert (done.exit_code, done.stderr.count("cannot be written (File exists): name another folder with --to")) == (
        64,
        1,
    )
    other = settings.model_copy(update={"data_dir": file})
    done = run(other, "restore", str(tmp_path))
    assert (done.exit_code, done.stderr.count("cannot be used (File exists)")) == (78, 1), done.exc_info


def test_a_bot_of_another_version_is_not_migrated_under_its_feet(settings: Settings) -> None:
    settings.data_dir.mkdir()
    settings.database_path.touch()
    with filelock.FileLock(settings.data_dir / "lock"):
        done = run(settings, "export", "5")
    assert "is of an older version: run `zimage-bot migrate` with the bot stopped." in done.stderr
    assert "0001" in unapplied(settings.database_path)[0], "nothing was migrated"


def test_config_shows_each_setting_with_its_origin_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RETENTION_DAYS", raising=False)
    (tmp_path / ".env").write_text("DISCORD_TOKEN=abc.def\nRETENTION_DAYS=9\nBOT_OWNER_IDS=2,1\nMAX_COUNT=\n")
    done = CliRunner(env={"RETENTION_DAYS": "", "SERVER_WEIGHTS": "5=2", "DIRECT_MESSAGES": "no"}).invoke(
        app, ["config"]
    )
    lines = done.stdout.splitlines()
    for line in (
        "DISCORD_TOKEN=(set, not shown)  # .env",
        "RETENTION_DAYS=9  # .env",
        "BOT_OWNER_IDS=1,2  # .env",
        "MAX_COUNT=4  # default",
        "SERVER_WEIGHTS=5=2  # environment",
        "DIRECT_MESSAGES=false  # environment",
        "BACKUP_DIR=  # default",
    ):
        assert line in lines
    assert "abc.def" not in done.stdout
    assert {line.partition("=")[0] for line in lines} == {name.upper() for name in Settings.model_fields}
