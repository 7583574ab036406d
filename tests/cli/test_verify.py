"""``zimage-bot verify`` with the demo model, and with an engine that generates something else."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from diffusers import ZImageTransformer2DModel
from typer.testing import CliRunner

from bot.cli import verify
from bot.cli.main import app
from tests.helpers.pictures import picture_of
from training.reading import read
from zimage_engine.catalog import DEMO_WEIGHTS
from zimage_engine.device.memory import MemoryPlan, Placement
from zimage_engine.device.reference import Reference
from zimage_engine.types import ImageRequest, RawImage

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``zimage-bot verify`` in this process, on the CPU."""
    monkeypatch.chdir(tmp_path)

    def ran(*arguments: str) -> Result:
        done = CliRunner(env={"DEVICE": "cpu", "NO_COLOR": "1"}).invoke(
            app, ["verify", "--profile", "demo", *arguments]
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        return done

    return ran


def test_the_same_picture_ends_with_lines_for_the_docs(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[int] = []

    class Counted(Reference):
        def __init__(self, *arguments: Any) -> None:
            gc.collect()
            loaded.append(sum(type(each) is ZImageTransformer2DModel for each in gc.get_objects()))
            super().__init__(*arguments)

    monkeypatch.setattr(verify, "Reference", Counted)
    gc.collect()  # what earlier tests have left
    before = sum(type(each) is ZImageTransformer2DModel for each in gc.get_objects())
    done = run("--prompt", "a large yellow star on a black background", "--seed", "3")
    assert done.exit_code == 0, done.stdout + done.stderr
    assert loaded == [before], "memory holds one model at a time"
    assert "the same picture. Up to 1 comes from rounding." in done.stdout
    said, _, lines = done.stdout.partition("For docs/verified.md:")
    assert "everything on the device, float32" in said
    assert f"torch {torch.__version__}" in said
    assert said.count("peak memory") == 2
    assert "### Z-Image demo (ships with the project), 20" in lines
    assert "| 256 × 256, 8 steps, guidance 0 | engine | `ZImagePipeline` |" in lines
    assert "Largest difference " in lines
    assert str(tmp_path) not in lines
    folder = tmp_path / "build" / "verify"
    for name in ("engine.png", "diffusers.png"):
        seen = read(picture_of((folder / name).read_bytes()))
        assert (seen.shape, seen.colour, seen.background) == ("star", "yellow", "black")
    assert picture_of((folder / "side-by-side.png").read_bytes()).width > 512


def test_another_picture_ends_with_status_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    request: list[ImageRequest] = []

    class Wrong(Reference):
        def generate(self, asked: ImageRequest) -> RawImage:
            request.append(asked)
            return RawImage(asked.width, asked.height, bytes(3 * asked.width * asked.height))

    monkeypatch.setattr(verify, "Reference", Wrong)
    done = run("--out", "there")
    assert done.exit_code == 1
    assert "NOT the same picture" in done.stdout
    assert request[0].seed == 1


def test_an_empty_prompt_is_one_sentence(run: Run) -> None:
    done = run("--prompt", " ")
    assert (done.exit_code, "The prompt is empty" in done.stderr) == (64, True)


def test_the_pipeline_s_picture_is_the_same_wherever_its_parts_are() -> None:
    request = ImageRequest("a", "a red circle", 64, 64, 2, 1, guidance_scale=3.0)
    cpu = torch.device("cpu")
    pictures = [Reference(DEMO_WEIGHTS, cpu, MemoryPlan(placement, 4)).generate(request) for placement in Placement]
    assert all(picture == pictures[0] for picture in pictures)
