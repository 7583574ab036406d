"""The command line as a person runs it: processes of their own, their output, files and exit status."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.command_line import run_process
from tests.helpers.pictures import picture_of
from training.reading import read
from training.scenes import Scene, draw

pytestmark = pytest.mark.system

STAR = "a large yellow star on a black background"


def seen_in(path: Path) -> tuple[str, str, str]:
    seen = read(picture_of(path.read_bytes()))
    return seen.shape, seen.colour, seen.background


def test_imagine_gives_the_same_bytes_in_two_processes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        done = run_process("imagine", STAR, "--seed", "3", "--out", name, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "seed 3" in done.stderr
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert seen_in(tmp_path / "one.png") == ("star", "yellow", "black")


def test_editing_a_file(tmp_path: Path) -> None:
    scene = draw(Scene("star", "yellow", "black", "large"), 256, 256, np.random.default_rng(0))
    scene.save(tmp_path / "star.jpg", quality=95)
    prompt = "a large green star on a black background"
    done = run_process("edit", "star.jpg", prompt, "--strength", "0.9", "--seed", "1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert seen_in(tmp_path / "edited.png") == ("star", "green", "black")


def test_the_demo_ends_by_itself_with_the_conversation_and_a_picture(tmp_path: Path) -> None:
    done = run_process("demo", "a green square on a white background", "--out", "demo.png", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("/imagine prompt:a green square on a white background", "%", "seed ", "saved as demo.png"):
        assert part in done.stdout
    assert seen_in(tmp_path / "demo.png") == ("square", "green", "white")


def test_running_without_a_token_is_one_sentence(tmp_path: Path) -> None:
    done = run_process("run", folder=tmp_path)
    assert done.returncode == 78
    assert "DISCORD_TOKEN is not set" in done.stderr
    assert "Traceback" not in done.stderr
