"""``zimage-bot playground``: what stops it from starting. The page itself is tested in ``tests/playground``."""

from __future__ import annotations

import socket
import sys
import webbrowser
from pathlib import Path

import filelock
import pytest
from click.testing import Result
from typer.testing import CliRunner

from bot.cli.main import app
from bot.cli.playground import _ENGINE_SETTINGS, _open_browser
from bot.configured_models import engine_config
from bot.settings import Settings
from zimage_engine import complete_profile, find_profile


def run(*arguments: str, **environment: str) -> Result:
    done = CliRunner(env={"DEVICE": "cpu"} | environment).invoke(app, ["playground", "--no-open", *arguments])
    assert isinstance(done.exception, SystemExit), done.exc_info
    return done


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the developer's own .env."""
    monkeypatch.chdir(tmp_path)


def test_a_taken_port_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--port", str(port))
    assert (done.exit_code, done.stderr) == (78, f"Port {port} is taken: choose another with --port.\n")


def test_data_of_another_bot_is_not_touched(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with filelock.FileLock(data / "lock"):
        done = run("--data", str(data))
    assert done.exit_code == 75
    assert done.stderr.startswith(f"Another zimage-bot already uses {data}")
    assert [path.name for path in data.iterdir()] == ["lock"]


def test_missing_packages_are_said_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    done = run()
    assert done.exit_code == 78
    assert done.stderr == (
        "The playground needs packages that are not installed: run `pip install '.[playground]'` in the project's "
        "folder.\n"
    )


def test_an_unknown_profile_is_said() -> None:
    done = run("--profile", "nonsense")
    assert done.exit_code == 64
    assert done.stderr.startswith("The setting PROFILE is not right: Input should be")


def test_settings_of_the_model_are_those_of_the_environment(tmp_path: Path) -> None:
    done = run("--profile", "turbo", MODEL=str(tmp_path / "nowhere"))
    assert done.exit_code == 78
    assert str(tmp_path / "nowhere") in done.stderr


def test_each_setting_of_the_engine_is_taken_over(settings: Settings) -> None:
    read: set[str] = set()

    class Recorded:
        def __getattr__(self, name: str) -> object:
            read.add(name)
            return getattr(settings, name)

    profile = complete_profile(find_profile("demo"))
    engine_config(Recorded(), profile)
    assert read - {"engine_cache_dir"} <= {*_ENGINE_SETTINGS}


def test_the_browser_is_not_told_the_key_on_its_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    _open_browser("http://127.0.0.1:1/?key=secret#secret", tmp_path / "data")
    page = tmp_path / "data" / "playground.html"
    assert opened == [page.as_uri()]
    assert "url=http://127.0.0.1:1/?key=secret#secret" in page.read_text()
    assert page.stat().st_mode & 0o077 == 0
