"""The command line: what it prints, the files that it writes and its exit status.

Most commands run in this process, which spares importing torch for each of them. ``tests/system`` runs the long ones
as a person does.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from diffusers import ZImagePipeline
from typer.testing import CliRunner

from bot.cli.main import app
from bot.errors import ExitStatus
from tests.helpers.command_line import ROOT, run_process
from tests.helpers.pictures import picture_of
from training.reading import read
from training.scenes import Scene, draw
from zimage_engine.catalog import DEMO_WEIGHTS

STAR = "a large yellow star on a black background"
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in ``tmp_path``, without a token and on the CPU: ``run("imagine", "a cat", SEED="1")``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)
    for name, value in {"DEVICE": "cpu", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)

    def ran(*arguments: str, **environment: str) -> Result:
        done = CliRunner(env=environment).invoke(app, arguments)
        # Anything else that is raised would be a traceback.
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        return done

    return ran


def test_imagine_twice_gives_the_same_bytes_and_the_pipeline_s_pixels(run: Run, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        done = run("imagine", STAR, "--seed", "3", "--out", name)
        assert done.exit_code == 0, done.stderr
        assert "seed 3" in done.stderr
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    ours = picture_of((tmp_path / "one.png").read_bytes())
    seen = read(ours)
    assert (seen.shape, seen.colour, seen.background, seen.size) == ("star", "yellow", "black", "large")
    pipeline = ZImagePipeline.from_pretrained(DEMO_WEIGHTS)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        prompt=STAR,
        height=256,
        width=256,
        num_inference_steps=8,
        guidance_scale=0.0,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    assert np.abs(np.asarray(ours).astype(int) - np.asarray(theirs).astype(int)).max() <= 1


def test_editing_a_file(run: Run, tmp_path: Path) -> None:
    scene = draw(Scene("star", "yellow", "black", "large"), 256, 256, np.random.default_rng(0))
    scene.save(tmp_path / "star.jpg", quality=95)
    prompt = "a large green star on a black background"
    done = run("edit", "star.jpg", prompt, "--strength", "0.9", "--seed", "1")
    assert done.exit_code == 0, done.stderr
    seen = read(picture_of((tmp_path / "edited.png").read_bytes()))
    assert (seen.shape, seen.colour, seen.background) == ("star", "green", "black")
    for arguments, sentence in (
        (("absent.png", prompt), "cannot be read"),
        (("star.jpg", prompt, "--strength", "2"), "Strength must be from 0.05 to 1"),
        (("star.jpg", prompt, "--mask", "absent.png"), "cannot be read"),
    ):
        done = run("edit", *arguments)
        assert (done.exit_code, sentence in done.stderr) == (ExitStatus.USAGE, True), done.stderr


def test_imagine_several_into_a_new_folder(run: Run, tmp_path: Path) -> None:
    done = run("imagine", "a red circle --ar 5:3", "--count", "2", "--steps", "2", "--out", "new/cat.png")
    assert done.exit_code == 0, done.stderr
    assert {picture_of(path.read_bytes()).size for path in (tmp_path / "new").iterdir()} == {(320, 192)}
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["cat-1.png", "cat-2.png"]


def test_the_demo_ends_by_itself_with_the_conversation_and_a_picture(run: Run, tmp_path: Path) -> None:
    done = run("demo", "a green square on a white background", "--out", "demo.png")
    assert done.exit_code == 0, done.stderr
    for part in ("/imagine prompt:a green square on a white background", "%", "seed ", "saved as demo.png"):
        assert part in done.stdout
    seen = read(picture_of((tmp_path / "demo.png").read_bytes()))
    assert (seen.shape, seen.colour, seen.background) == ("square", "green", "white")


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence", "status"),
    [
        (["run"], {}, "DISCORD_TOKEN is not set", ExitStatus.CONFIGURATION),
        (["run"], {"MAX_COUNT": "many"}, "The setting MAX_COUNT is not right", ExitStatus.CONFIGURATION),
        (["imagine", "x"], {"MODEL": "/no/weights"}, "neither a folder nor a model", ExitStatus.CONFIGURATION),
        (["imagine", "x"], {"DEVICE": "gpu"}, "There is no device “gpu”", ExitStatus.CONFIGURATION),
        (["imagine", ""], {}, "The prompt is empty", ExitStatus.USAGE),
        (["imagine", "x", "--size", "250x250"], {}, "multiples of 32", ExitStatus.USAGE),
        (["imagine", "x", "--out", "picture.jpg"], {}, "does not end in .png", ExitStatus.USAGE),
        (["imagine", "x", "--profile", "sdxl"], {}, "The setting PROFILE is not right", ExitStatus.USAGE),
        (["imagine", "x", "--negative", "blur"], {}, "does not take `--negative`", ExitStatus.USAGE),
        (["demo", " ", "--out", "x.png"], {}, "The prompt is empty", ExitStatus.CONFIGURATION),
    ],
)
def test_what_a_person_can_fix_is_one_sentence(
    run: Run, arguments: list[str], environment: dict[str, str], sentence: str, status: ExitStatus
) -> None:
    done = run(*arguments, **environment)
    assert done.exit_code == status
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_process_ends_with_that_sentence_and_its_status(tmp_path: Path) -> None:
    done = run_process("migrate", folder=tmp_path, MAX_COUNT="many")
    assert done.returncode == ExitStatus.CONFIGURATION
    assert done.stderr.startswith("The setting MAX_COUNT is not right")
    assert done.stderr.count("\n") == 1
    assert run_process("imagin", folder=tmp_path).returncode == ExitStatus.USAGE, "there is no such command"


def test_migrate_makes_the_database_once_for_its_user_alone(tmp_path: Path) -> None:
    assert "applied 0001_jobs" in run_process("migrate", folder=tmp_path).stdout
    assert "nothing to do" in run_process("migrate", folder=tmp_path).stdout
    database = tmp_path / "data" / "zimage.sqlite3"
    assert database.stat().st_mode & 0o077 == 0
    assert database.parent.stat().st_mode & 0o077 == 0


def test_a_missing_token_is_said_before_anything_slow_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom bot.cli.main import app\n"
        "try:\n    app(['run'])\nexcept SystemExit as end:\n    assert end.code == 78\n"
        "print(*{'torch', 'diffusers', 'discord', 'aiohttp', 'PIL', 'numpy', 'yoyo'} & set(sys.modules))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DISCORD_TOKEN"}
    kept = {"cwd": tmp_path, "env": environment | {"PYTHONPATH": str(ROOT)}, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", code], check=True, **kept)
    assert done.stderr.startswith("DISCORD_TOKEN is not set")
    assert done.stdout.split() == []
    # What is left is Python, typer, and reading the settings.
    least = min(cpu_seconds(["-c", "import typer, pydantic_settings"], **kept) for _ in range(3))
    assert min(cpu_seconds(["-m", "bot", "run"], **kept) for _ in range(3)) <= 2 * least


def cpu_seconds(arguments: list[str], **options: Any) -> float:
    """Return the CPU seconds of a Python process, which other programs change less than its duration."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=False, **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_answers_and_imports_nothing_heavy(tmp_path: Path) -> None:
    """What takes long is importing: without these it takes half a second."""
    assert "imagine" in run_process("--help", folder=tmp_path).stdout
    code = (
        "import sys\nfrom bot.cli.main import app\napp(['--help'], standalone_mode=False)\n"
        "sys.exit(bool({'torch', 'discord', 'PIL', 'pydantic', 'numpy', 'yoyo'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
