"""``zimage-bot download`` from a hub on loopback, as ``huggingface_hub`` asks it."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import Result
from filelock import FileLock
from huggingface_hub import constants
from typer.testing import CliRunner

from bot.cli import download
from bot.cli.main import app
from bot.errors import ExitStatus
from tests.helpers.command_line import ROOT
from tests.helpers.hub import COMMIT, MODEL, FakeHub, etag, fake_hub
from tests.helpers.waiting import until
from zimage_engine import hub as hub_module
from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.weights import cached_folder

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
FILES = 11
"""The files of the demo model that the loader reads."""
Run = Callable[..., Result]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    """The demo model as a repository, with files that the loader does not read."""
    folder = tmp_path / "repository"
    shutil.copytree(DEMO_WEIGHTS, folder)
    (folder / "README.md").write_text("# A model")
    (folder / "transformer" / "diffusion_pytorch_model.bin").write_bytes(b"pickled" * 1000)
    with fake_hub(folder) as running:
        yield running


@pytest.fixture
def run(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``zimage-bot download`` in this process with that hub and an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache" / "hub"))

    def ran(*arguments: str) -> Result:
        done = CliRunner(env={"DEVICE": "cpu", "NO_COLOR": "1"}).invoke(app, ["download", *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        return done

    return ran


def test_only_what_the_loader_reads_is_downloaded_and_then_found_without_the_hub(
    run: Run, hub: FakeHub, tmp_path: Path
) -> None:
    done = run("--profile", "demo", "--model", MODEL)
    assert done.exit_code == 0, done.stderr
    assert f"a-model (somebody/a-model): {FILES} files, 15.4 MB." in done.stdout
    assert "are free on the disk of" in done.stdout
    folder = cached_folder(find_profile("demo", weights=MODEL))
    assert folder == tmp_path / "cache" / "hub" / "models--somebody--a-model" / "snapshots" / COMMIT
    loaded = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    assert Path(WEIGHTS) in loaded
    assert not {path.name for path in loaded} & {"README.md", "diffusion_pytorch_model.bin"}
    assert (folder / WEIGHTS).read_bytes() == (DEMO_WEIGHTS / WEIGHTS).read_bytes()
    hub.refusal = (500, {})
    again = run("--profile", "demo", "--model", MODEL)
    assert (again.exit_code, "is already in" in again.stdout) == (0, True)


def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    run: Run, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1_000_000)  # what is received is written in such pieces
    monkeypatch.setattr("huggingface_hub.file_download.time", SimpleNamespace(sleep=lambda _: None))
    hub.breaks[WEIGHTS] = 4_000_000
    done = run("--profile", "demo", "--model", MODEL)
    assert done.exit_code == 0, done.stderr
    assert hub.sent(WEIGHTS) == [None, "bytes=4000000-"]
    folder = cached_folder(find_profile("demo", weights=MODEL))
    assert folder is not None
    assert (folder / WEIGHTS).read_bytes() == (DEMO_WEIGHTS / WEIGHTS).read_bytes()


@pytest.mark.system  # a process of its own that imports the hub's library: some four seconds
async def test_a_stopped_download_ends_at_once_and_goes_on_with_the_files_that_are_missing(
    run: Run, hub: FakeHub, tmp_path: Path
) -> None:
    hub.hangs[WEIGHTS] = 4_000_000
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "download", "--profile", "demo", "--model", MODEL],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "DEVICE": "cpu", "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "Ctrl-C" in line:
            break
    blobs = tmp_path / "cache" / "hub" / "models--somebody--a-model" / "blobs"
    # The other thread has written all other files: it begins none while the process ends.
    await until(lambda: [path.suffix for path in blobs.glob("[0-9a-f]*")].count("") == FILES - 1)
    assert len(list(blobs.glob("*.incomplete"))) == 1
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=5)
    assert process.returncode == 128 + signal.SIGINT
    assert "Run the command again to go on" in said
    assert not list(blobs.glob("*.incomplete"))
    hub.hangs.clear()
    hub.requests.clear()
    done = run("--profile", "demo", "--model", MODEL)
    assert done.exit_code == 0, done.stderr
    assert "are still to be downloaded" in done.stdout
    assert hub.sent(WEIGHTS) == [None]
    assert hub.sent("model_index.json") == []


def test_what_a_killed_download_left_is_deleted_but_not_what_another_process_is_downloading(
    run: Run, hub: FakeHub, tmp_path: Path
) -> None:
    cache = tmp_path / "cache" / "hub"
    blobs = cache / "models--somebody--a-model" / "blobs"
    blobs.mkdir(parents=True)
    left, other = blobs / f"{etag(hub.folder / WEIGHTS)}.0123abcd.incomplete", blobs / "else.where.4567cdef.incomplete"
    left.write_bytes(b"half")
    other.write_bytes(b"half")
    locks = cache / ".locks" / "models--somebody--a-model"
    locks.mkdir(parents=True)
    with FileLock(locks / "else.where.lock", is_singleton=False):
        assert run("--profile", "demo", "--model", MODEL).exit_code == 0
    assert list(blobs.glob("*.incomplete")) == [other]


def test_what_a_killed_download_left_is_deleted_whoever_shares_the_cache(run: Run, tmp_path: Path) -> None:
    """The group may write the lock that is made for it; an older library gave partial files shorter names."""
    cache = tmp_path / "cache" / "hub"
    blobs = cache / "models--somebody--a-model" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "older.incomplete").write_bytes(b"half")
    assert run("--profile", "demo", "--model", MODEL).exit_code == 0
    assert not list(blobs.glob("*.incomplete"))
    lock = cache / ".locks" / "models--somebody--a-model" / "older.lock"
    assert lock.stat().st_mode & 0o777 == 0o664


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        ((403, {"X-Error-Code": "GatedRepo"}), "accept them at http://127.0.0.1"),
        ((401, {"X-Error-Code": "RepoNotFound"}), "There is no model “somebody/a-model” at http://127.0.0.1"),
        ((404, {"X-Error-Code": "RepoNotFound"}), "for a private model set HF_TOKEN"),
        ((401, {"X-Error-Message": "Invalid credentials in Authorization header"}), "does not accept the token"),
        ((404, {"X-Error-Code": "RevisionNotFound"}), "is not in diffusers' layout"),
        ((503, {}), "cannot send “somebody/a-model” now (status 503): try again"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(
    run: Run, hub: FakeHub, refusal: tuple[int, dict[str, str]], sentence: str
) -> None:
    hub.refusal = refusal
    done = run("--profile", "demo", "--model", MODEL)
    status = ExitStatus.NETWORK if refusal[0] == 503 else ExitStatus.CONFIGURATION
    assert (done.exit_code, done.stdout) == (status, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_hub_that_cannot_be_reached_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    done = run("--profile", "turbo")
    assert done.exit_code == ExitStatus.NETWORK
    assert done.stderr.startswith("http://127.0.0.1:9 cannot be reached (ConnectError): check the network")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE forbids" in run("--profile", "turbo").stderr


def test_too_little_disk_is_said_before_the_download(run: Run, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(ROOT)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage._replace(free=2_000_000))
    done = run("--profile", "demo", "--model", MODEL)
    assert done.exit_code == ExitStatus.CONFIGURATION
    assert "The download takes 15.4 MB, but the disk of" in done.stderr
    assert "has 2.0 MB free: make room there, or set HF_HOME to a folder on a larger disk." in done.stderr
    assert hub.sent(WEIGHTS) == []


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "is full: make room there, or set HF_HOME"),
        (errno.EACCES, "cannot be written (Permission denied)"),
    ],
)
def test_a_disk_that_takes_no_more_is_one_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch, number: int, sentence: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("huggingface_hub.file_download._chmod_and_move", full)
    done = run("--profile", "demo", "--model", MODEL)
    assert done.exit_code == ExitStatus.CONFIGURATION
    assert sentence in done.stderr


def test_a_model_of_another_kind_is_refused_before_its_weights_are_downloaded(run: Run, hub: FakeHub) -> None:
    done = run("--profile", "edit", "--model", MODEL)
    assert done.exit_code == ExitStatus.CONFIGURATION
    assert "cannot edit by instruction" in done.stderr
    assert hub.sent(WEIGHTS) == []
    shutil.rmtree(hub.folder / "vae")
    (hub.folder / "vae").mkdir()
    shutil.copy(DEMO_WEIGHTS / "vae" / "config.json", hub.folder / "vae")
    done = run("--profile", "demo", "--model", MODEL)
    assert "has no safetensors files for each part" in done.stderr


def test_the_demo_model_and_a_folder_need_no_download(run: Run, hub: FakeHub) -> None:
    done = run("--profile", "demo")
    assert (done.exit_code, "ships with the project, so there is nothing to download" in done.stdout) == (0, True)
    assert "PROFILE=auto chooses the demo model" in run().stdout
    assert f"is already in {hub.folder}" in run("--model", str(hub.folder), "--profile", "demo").stdout
    assert hub.requests == []


def test_few_files_are_downloaded_at_once() -> None:
    assert hub_module._PARALLEL_FILES <= 4, "a stopped download loses every file that is not complete"
