"""Backups of everything: made while the bot runs, checked, restored, and without what was deleted since."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import filelock
import pytest
from click.testing import Result
from typer.testing import CliRunner

from bot.cli.main import app
from bot.cli.restore import restore as run_restore
from bot.deletion_log import Deletions, deletions_since, note_files, note_member
from bot.errors import StartupError
from bot.media.files import write_file
from bot.playground.world import World
from bot.privacy.housekeeping import Housekeeping
from bot.privacy.store_check import check_store
from bot.requests.spec import ImageSpec
from bot.services import Services
from bot.settings import Settings
from bot.store import jobs
from bot.store.accounts import DAY
from bot.store.database import Database
from bot.store.facts import read_fact, write_fact
from bot.store.full_backups import DATABASE, backups_in, is_intact, make_backup, read_manifest
from bot.store.member_settings import write_values
from bot.store.restore import Restored
from bot.store.restore import restore as restore_backup
from tests.helpers import job_ends
from tests.helpers.databases import add_database
from tests.helpers.pictures import drawn
from tests.helpers.privacy import JUST_DATA, delete
from tests.helpers.waiting import until

ORIGINAL = "a" * 32
ONE, TWO = "1" * 12, "2" * 12


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder, under the umask that the program sets."""
    mask = os.umask(0o077)
    folder = tmp_path / "data"
    add_database(folder / DATABASE)
    yield folder
    os.umask(mask)


@contextmanager
def opened(data: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(data / DATABASE)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


async def draw(data: Path, image_id: str, owner_id: int = 5, *, to_the_end: bool = True) -> int:
    """Deliver an edit with its files; or leave it rendered."""
    database = await Database.open(data / DATABASE)
    folders = (data / "images", data / "sources")
    await check_store(database, folders)
    spec = ImageSpec("a red circle", 256, 256, 7, 8, 0.0, "", "m", 0.6, ORIGINAL).to_json()
    rows = ((image_id, 7),)
    new = jobs.NewJob(time.time_ns(), owner_id, 9, 9, 40, "public", "edit", spec, 100, rows, "n", None, 1000)
    job_id = await database.write(partial(jobs.insert, new=new))
    assert job_id is not None
    await database.write(partial(_render, job_id=job_id, file=f"{image_id}.png", to_the_end=to_the_end))
    write_file(folders[0] / f"{image_id}.png", f"picture {image_id}".encode())
    write_file(folders[1] / f"{ORIGINAL}.png", b"an original")
    await database.close()
    return job_id


def _render(connection: sqlite3.Connection, job_id: int, file: str, *, to_the_end: bool) -> None:
    jobs.started(connection, job_id, 1000)
    job_ends.image_ended(connection, job_id, 0, "rendered", file, 9)
    jobs.rendered(connection, job_id, 1000)
    if to_the_end:
        jobs.delivering(connection, job_id)
        job_ends.delivered(connection, job_id, 40, job_id, 100, 1000)


async def restored(backup: Path, data: Path) -> Restored:
    return await asyncio.to_thread(restore_backup, backup, data)


def states(data: Path) -> dict[str, str]:
    with opened(data) as connection:
        return {row["id"]: row["state"] for row in connection.execute("SELECT id, state FROM images")}


async def test_a_backup_has_everything_and_only_its_own_user_reads_it(data: Path, tmp_path: Path) -> None:
    """Also rows that lie in the write-ahead log of a database in use; pictures are links to the same files."""
    await draw(data, ONE)
    (data / "images" / "no-row.png").write_bytes(b"")
    database = await Database.open(data / DATABASE)
    await write_fact(database, "a", "1")
    backup = await asyncio.to_thread(make_backup, data, tmp_path / "backups")
    await database.close()
    manifest = read_manifest(backup)
    assert set(manifest.files) == {DATABASE, f"images/{ONE}.png", f"sources/{ORIGINAL}.png"}
    assert all(is_intact(backup / name, file) for name, file in manifest.files.items())
    assert (backup / f"images/{ONE}.png").samefile(data / "images" / f"{ONE}.png")
    assert manifest.schema.startswith("00")
    assert manifest.store_id
    with closing(sqlite3.connect(backup / DATABASE)) as connection:
        assert connection.execute("SELECT value FROM facts WHERE name = 'a'").fetchone() == ("1",)
    for path in (backup.parent, *backup.rglob("*"), backup):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


async def test_on_another_file_system_pictures_are_copied_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def other_device(source: Path, target: Path) -> None:
        if Path(source).is_relative_to(data):
            raise OSError(18, "Invalid cross-device link")
        link(source, target)

    monkeypatch.setattr(os, "link", other_device)
    await draw(data, ONE)
    name = f"images/{ONE}.png"
    first = make_backup(data, tmp_path / "backups")
    assert not (first / name).samefile(data / name)
    assert stat.S_IMODE((first / name).stat().st_mode) == 0o600
    await asyncio.sleep(1.1)  # names have seconds
    second = make_backup(data, tmp_path / "backups")
    assert (second / name).samefile(first / name)
    assert read_manifest(second).files == read_manifest(second).files


async def test_only_the_newest_are_kept_and_others_are_left_alone(data: Path, tmp_path: Path) -> None:
    await draw(data, ONE)
    folder = tmp_path / "backups"
    new = make_backup(data, folder)
    for day in (1, 2, 3):
        shutil.copytree(new, folder / f"zimage-backup-2026010{day}T000000Z")
    foreign = folder / "zimage-backup-20250101T000000Z"
    shutil.copytree(new, foreign)
    content = json.loads((foreign / "manifest.json").read_text())
    (foreign / "manifest.json").write_text(json.dumps(content | {"store_id": "another"}))
    new.rename(folder / "zimage-backup-20260104T000000Z")
    newest = make_backup(data, folder, keep=2)
    assert backups_in(folder) == [newest, folder / "zimage-backup-20260104T000000Z", foreign]


async def test_a_backup_that_cannot_be_made_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await draw(data, ONE)
    with pytest.raises(StartupError, match="the bot is stopping"):
        make_backup(data, tmp_path / "backups", is_stopping=lambda: True)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StartupError, match=r"No space left on device.*make room there"):
        make_backup(data, tmp_path / "backups")
    assert list((tmp_path / "backups").iterdir()) == []


async def test_a_backup_of_a_large_database_stops_when_the_bot_does(data: Path, tmp_path: Path) -> None:
    """Every few megabytes it looks whether to stop: a gigabyte would hold up the end of the program for long."""
    with closing(sqlite3.connect(data / DATABASE)) as connection:
        rows = ((f"large {number}", "x" * 1_000_000) for number in range(24))
        connection.executemany("INSERT INTO facts (name, value) VALUES (?, ?)", rows)
        connection.commit()
    looks: list[int] = []
    make_backup(data, tmp_path / "whole", is_stopping=lambda: looks.append(1) is not None)
    assert len(looks) >= 12
    for last in (1, 4, 8, len(looks)):
        looks.clear()

        def is_stopping(last: int = last) -> bool:
            looks.append(1)
            return len(looks) >= last

        with pytest.raises(StartupError, match="the bot is stopping"):
            make_backup(data, tmp_path / "backups", is_stopping=is_stopping)
        assert len(looks) <= last + 1, "it stops at once"
        assert list((tmp_path / "backups").iterdir()) == []


async def test_a_folder_that_cannot_be_written_is_one_sentence(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = world.env.bot.settings
    with pytest.raises(StartupError, match=r"/proc/nowhere.*give the bot's user the right to write there, or name"):
        make_backup(settings.data_dir, Path("/proc/nowhere"))
    housekeeping = world.env.bot.services.housekeeping
    housekeeping._full_backups, housekeeping._backup_keep = Path("/proc/nowhere"), 1
    await housekeeping.clean(int(time.time()))
    assert housekeeping.failed == {"back_up"}
    (failed,) = [record for record in caplog.records if record.msg["event"] == "housekeeping_failed"]
    assert failed.msg["reason"].startswith("No backup could be made in /proc/nowhere")
    assert "exc_info" not in failed.msg

    def refuse(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(StartupError, match=r"cannot be used \(Permission denied\): give the bot's user the right"):
        make_backup(settings.data_dir, settings.full_backup_dir)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no database" * 999, r"is damaged \(file is not a database\): put back a backup"),
        (b"", r"is not the bot's database \(no such table: images\): check DATA_DIR"),
    ],
)
def test_a_database_that_cannot_be_backed_up_is_not_called_a_full_disk(
    data: Path, content: bytes, sentence: str
) -> None:
    (data / DATABASE).write_bytes(content)
    with pytest.raises(StartupError, match=sentence):
        make_backup(data, data / "backups")
    assert list((data / "backups").iterdir()) == []


async def test_backups_at_the_same_moment_do_not_destroy_each_other(data: Path, tmp_path: Path) -> None:
    """The daily one and the operator's, whose folders are named by the second."""
    await draw(data, ONE)
    folder = tmp_path / "backups"
    made = await asyncio.gather(*(asyncio.to_thread(make_backup, data, folder) for _ in range(2)))
    assert backups_in(folder) == sorted(made, reverse=True)
    assert all(is_intact(path / name, file) for path in made for name, file in read_manifest(path).files.items())
    assert sorted(folder.iterdir()) == sorted(made)


@pytest.mark.parametrize("content", ['{"files": [1]}', '{"files": {}, "made_at": 1e999}', "[" * 100_000, "[]", ""])
def test_a_damaged_manifest_is_one_sentence(tmp_path: Path, content: str) -> None:
    whole = {"format": 1, "program": "1", "made_at": 1, "schema": "1", "store_id": None, "files": {DATABASE: [1, ""]}}
    found = json.loads(content) if content.startswith("{") else None
    (tmp_path / "manifest.json").write_text(json.dumps(whole | found) if found else content)
    with pytest.raises(StartupError, match=r"or its manifest\.json is damaged"):
        read_manifest(tmp_path)


async def test_restoring_brings_back_rows_and_pictures_and_keeps_the_old_as_a_copy(data: Path, tmp_path: Path) -> None:
    await draw(data, ONE)
    backup = make_backup(data, tmp_path / "backups")
    await draw(data, TWO)
    (data / "images" / f"{ONE}.png").unlink()
    found = await restored(backup, data)
    assert (found.jobs, found.pictures, found.damaged) == (1, 1, 0)
    assert states(data) == {ONE: "rendered"}
    assert (data / "images" / f"{ONE}.png").read_bytes() == f"picture {ONE}".encode()
    assert (data / "images" / f"{TWO}.png").exists(), "set aside at the next start, not deleted"
    assert found.aside is not None
    with closing(sqlite3.connect(found.aside / DATABASE)) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (2,)
    assert not (data / "restore.partial").exists()


async def test_a_write_ahead_log_that_was_left_changes_nothing(data: Path, tmp_path: Path) -> None:
    """SQLite takes a log beside a copied database for that database's own."""
    await draw(data, ONE)
    backup = make_backup(data, tmp_path / "backups")
    database = await Database.open(data / DATABASE)
    await write_fact(database, "since", "1")
    left = {path.name: path.read_bytes() for path in data.glob(f"{DATABASE}-*")}
    await database.close()
    for name, content in left.items():
        (data / name).write_bytes(content)
    found = await restored(backup, data)
    assert list(data.glob(f"{DATABASE}-*")) == []
    assert found.aside is not None
    assert {path.name for path in found.aside.iterdir()} >= set(left)
    database = await Database.open(data / DATABASE)
    assert await read_fact(database, "since") is None
    await database.close()


async def test_what_was_deleted_since_does_not_come_back(data: Path, tmp_path: Path) -> None:
    await draw(data, ONE, owner_id=5)
    await draw(data, TWO, owner_id=6)
    await draw(data, "3" * 12, owner_id=7)
    database = await Database.open(data / DATABASE)
    await database.write(partial(write_values, member_id=5, values={"steps": "4"}))
    await database.close()
    backup = make_backup(data, tmp_path / "backups")
    note_member(data, 5)
    note_files(data, [f"{TWO}.png"])
    for name in (ONE, TWO):
        (data / "images" / f"{name}.png").unlink()
    found = await restored(backup, data)
    assert (found.members, found.deleted) == (1, 1)
    assert states(data) == {ONE: "deleted", TWO: "deleted", "3" * 12: "rendered"}
    assert [path.name for path in (data / "images").glob("*.png")] == [f"{'3' * 12}.png"]
    with opened(data) as connection:
        rows = connection.execute("SELECT owner_id, json_extract(spec, '$.prompt') AS prompt FROM jobs ORDER BY id")
        assert [tuple(row) for row in rows] == [(0, ""), (6, "a red circle"), (7, "a red circle")]
        assert connection.execute("SELECT count(*) FROM member_settings").fetchone()[0] == 0


async def test_a_new_folder_deletes_again_what_the_old_one_s_log_has_or_says_that_it_knows_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await draw(data, ONE, owner_id=5)
    inside, outside = make_backup(data, data / "backups"), make_backup(data, tmp_path / "elsewhere" / "backups")
    note_member(data, 5)
    new = tmp_path / "new"
    found = await restored(inside, new)
    assert (found.members, found.knows_deletions) == (1, True)
    assert states(new) == {ONE: "deleted"}
    assert deletions_since(new, 0).members == {5}, "a backup that is restored there later needs the log, too"
    settings = Settings.in_code(data_dir=tmp_path / "lost")
    await asyncio.to_thread(run_restore, settings, outside)
    assert states(tmp_path / "lost") == {ONE: "rendered"}
    said = capsys.readouterr().out
    assert f"There is no log of deletions in {tmp_path / 'lost'}, so what members have deleted since" in said
    shutil.copytree(data / "deletions", tmp_path / "lost" / "deletions")
    await asyncio.to_thread(run_restore, settings, outside)
    assert states(tmp_path / "lost") == {ONE: "deleted"}
    assert "There is no log of deletions" not in capsys.readouterr().out


async def test_the_deletions_of_before_the_backup_are_not_repeated(data: Path, tmp_path: Path) -> None:
    await draw(data, ONE, owner_id=5)
    note_member(data, 5)
    (log,) = (data / "deletions").iterdir()
    log.write_text(f"{int(time.time()) - 3600} member 5\n")
    found = await restored(make_backup(data, tmp_path / "backups"), data)
    assert found.members == 0
    assert states(data) == {ONE: "rendered"}


async def test_open_jobs_look_for_their_result_first_and_get_a_new_day(data: Path, tmp_path: Path) -> None:
    job_id = await draw(data, ONE, to_the_end=False)
    await restored(make_backup(data, tmp_path / "backups"), data)
    with opened(data) as connection:
        row = connection.execute("SELECT state, delivery_attempts, rendered_at FROM jobs").fetchone()
        assert (row["state"], row["delivery_attempts"]) == ("rendered", 1)
        assert row["rendered_at"] > time.time() - 60
    assert await draw(data, TWO) > job_id + 1000, "buttons under lost messages name the ids in between"


async def test_a_backup_that_is_not_whole_is_refused_and_nothing_is_changed(data: Path, tmp_path: Path) -> None:
    await draw(data, ONE)
    backup = make_backup(data, tmp_path / "backups")
    before = (data / DATABASE).read_bytes()

    def broken(change: str) -> Path:
        copy = tmp_path / change
        shutil.copytree(backup, copy)
        return copy

    cut = broken("cut")
    with (cut / DATABASE).open("r+b") as file:
        file.truncate(4096)
    newer = broken("newer")
    with closing(sqlite3.connect(newer / DATABASE)) as connection:
        connection.execute("INSERT INTO _yoyo_migration (migration_hash, migration_id) VALUES ('x', '0999_future')")
        connection.commit()
    content = json.loads((newer / "manifest.json").read_text())
    new = (newer / DATABASE).read_bytes()
    content["files"][DATABASE] = [len(new), hashlib.sha256(new).hexdigest()]
    (newer / "manifest.json").write_text(json.dumps(content))
    outside = broken("outside")
    content = json.loads((outside / "manifest.json").read_text())
    content["files"]["images/../../stolen.png"] = [1, "0"]
    (outside / "manifest.json").write_text(json.dumps(content))
    for folder, sentence in (
        (cut, "The database of .*cut is damaged"),
        (newer, "newer/zimage.sqlite3 was written by a newer zimage-bot"),
        (outside, "is not a backup that `zimage-bot backup` made"),
        (tmp_path, "is not a backup that `zimage-bot backup` made"),
    ):
        with pytest.raises(StartupError, match=sentence):
            await restored(folder, data)
    assert (data / DATABASE).read_bytes() == before
    assert not (data / "restore.partial").exists()


async def test_a_damaged_picture_is_left_out_and_counted(data: Path, tmp_path: Path) -> None:
    await draw(data, ONE)
    backup = make_backup(data, tmp_path / "backups")
    (data / "images" / f"{ONE}.png").unlink()
    (backup / "images" / f"{ONE}.png").unlink()
    (backup / "images" / f"{ONE}.png").write_bytes(b"picture ???????????x")
    assert (await restored(backup, data)).damaged == 1
    assert not (data / "images" / f"{ONE}.png").exists()


def test_the_commands(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: str) -> Result:
        return CliRunner(env={"DATA_DIR": "data"}).invoke(app, arguments)

    monkeypatch.chdir(tmp_path)
    asyncio.run(draw(data, ONE))
    assert "the database and 2 pictures" in run("backup", "--to", "saved").stdout
    (backup,) = (tmp_path / "saved").iterdir()
    with filelock.FileLock(data / "lock"):
        refused = run("restore", str(backup))
    assert refused.exit_code != 0
    assert refused.stderr.strip() == "A zimage-bot is running on data: stop it first."
    (data / DATABASE).write_bytes(b"\xff" * 9000)
    done = run("restore", str(backup))
    assert done.exit_code == 0, done.stderr
    assert "1 request" in done.stdout
    assert states(data) == {ONE: "rendered"}


@pytest.mark.parametrize(("keep", "days", "made"), [(2, 14, 1), (0, 14, 0), (2, 0, 0)])
async def test_the_daily_task_makes_one_a_day_and_removes_old_ones(
    data: Path, tmp_path: Path, keep: int, days: int, made: int
) -> None:
    await draw(data, ONE)
    folder = tmp_path / "elsewhere"
    old = folder / "zimage-backup-20200101T000000Z"
    old.mkdir(parents=True)
    database = await Database.open(data / DATABASE)
    paths = (data / DATABASE, data / "images", data / "sources")
    keeper = Housekeeping(database, *paths, retention_days=30, backup_days=days, full_backups=folder, backup_keep=keep)
    now = int(time.time())
    await keeper.clean(now)
    await keeper.clean(now + 60)
    assert len(backups_in(folder)) == made
    assert not old.exists()
    await keeper.clean(now + 15 * DAY)
    await database.close()
    assert all(backup.name > old.name for backup in backups_in(folder))


async def test_what_a_killed_backup_or_restore_has_left_does_not_stay_for_ever(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    await draw(data, ONE)
    folder = tmp_path / "elsewhere"
    backup = make_backup(data, folder)
    begun = backup.with_name(f"{backup.name}.partial")
    shutil.copytree(backup, begun)
    picture = data / "images" / f"{ONE}.png"
    picture.unlink()
    with monkeypatch.context() as patch:  # before the picture has its name, and without anything that cleans up
        patch.setattr(
            "bot.store.restore.link_or_copy", lambda source, target: (shutil.copyfile(source, target), kill())
        )
        patch.setattr("bot.store.restore.shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            await restored(backup, data)
    assert (data / "restore.partial").is_dir()
    database = await Database.open(data / DATABASE)
    paths = (data / DATABASE, data / "images", data / "sources")
    keeper = Housekeeping(database, *paths, retention_days=30, backup_days=14, full_backups=folder)
    now = int(time.time())
    await keeper.clean(now + 60)
    assert begun.is_dir(), "another process may be at it"
    await keeper.clean(now + 2 * DAY)
    await database.close()
    assert list(folder.iterdir()) == [backup]
    assert not (data / "restore.partial").exists()
    assert list((data / "images").glob("*partial")) == []


async def test_the_deletion_log_is_kept_as_long_as_backups(data: Path) -> None:
    note_member(data, 5)
    database = await Database.open(data / DATABASE)
    paths = (data / DATABASE, data / "images", data / "sources")
    keeper = Housekeeping(database, *paths, retention_days=30, backup_days=14)
    now = int(time.time())
    await keeper.clean(now + 13 * DAY)
    assert len(list((data / "deletions").iterdir())) == 1
    await keeper.clean(now + 16 * DAY)
    assert list((data / "deletions").iterdir()) == []
    await database.close()


async def test_what_members_delete_in_discord_is_in_the_log(world: World) -> None:
    message = await drawn(world, steps=1)
    folder = world.env.bot.settings.data_dir
    (picture,) = folder.glob("images/*.png")
    assert deletions_since(folder, 0) == Deletions()
    await message.delete()
    await until(lambda: not picture.exists())
    assert deletions_since(folder, 0).files == {picture.name}
    await delete(world, JUST_DATA)
    assert deletions_since(folder, 0).members == {world.member.id}
    (log,) = (folder / "deletions").iterdir()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


async def test_a_damaged_database_ends_the_start_with_a_sentence_that_names_both_commands(data: Path) -> None:
    (data / DATABASE).write_bytes(b"\xff" * 9000)
    services = Services(Settings.in_code(data_dir=data, profile="demo", device="cpu"))
    with pytest.raises(StartupError, match=r"is damaged .*`zimage-bot restore FOLDER`; `zimage-bot backup` makes"):
        await services.start(outbox=None)  # type: ignore[arg-type]
