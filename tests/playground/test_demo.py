"""``zimage-bot demo``: its models, and where what it needs is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.app import create_client
from bot.cli.playground import _chosen_settings
from bot.errors import StartupError
from bot.playground.demo import run_demo, wait_for_model
from bot.playground.demo_models import demo_models
from bot.playground.world import open_world
from bot.settings import Settings
from tests.helpers.databases import add_database
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine


async def test_a_cluster_without_workers_ends_the_demo(settings: Settings) -> None:
    def start(config: EngineConfig) -> Engine:
        engine = Engine.start(config, places=())
        engine.expect_devices(expected=True)
        return engine

    on_cluster = settings.model_copy(update={"ray_address": "10.0.0.1:6379"})
    add_database(on_cluster.database_path)
    client = create_client(on_cluster, start_engine=start)
    async with open_world(client):
        with pytest.raises(
            StartupError, match=r"No worker was found in the Ray cluster \(RAY_ADDRESS=10\.0\.0\.1:6379\)"
        ):
            await wait_for_model(client, seconds=0.05)


@pytest.mark.parametrize(
    ("changes", "names", "ignored"),
    [
        ({}, ("demo",), ""),
        ({"profile": "demo-guided"}, ("demo-guided",), ""),
        ({"profiles": ("demo-guided", "demo")}, ("demo-guided", "demo"), ""),
        ({"profile": "turbo"}, ("demo",), "PROFILE=turbo is ignored."),
        ({"profiles": ("demo", "base"), "model": "base=/x"}, ("demo",), "PROFILES=demo,base and MODEL=base=/x are"),
        ({"profiles": ("demo", "demo-guided"), "device": "cpu*2=demo-guided+demo"}, ("demo", "demo-guided"), ""),
        ({"device": "cpu=turbo"}, ("demo",), "the choice of models in DEVICE=cpu=turbo is ignored."),
    ],
)
def test_the_demo_has_the_models_of_the_settings_and_says_what_it_ignores(
    changes: dict[str, Any], names: tuple[str, ...], ignored: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings.in_code(**changes)
    found, said = demo_models(settings)
    assert found == names
    assert ignored in said
    assert bool(said) == bool(ignored)
    assert _chosen_settings(settings, named=False)["profiles"] == names
    assert said in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("device", "used"),
    [("auto", "cpu"), ("cpu*2", "cpu*2"), ("cpu*2=demo", "cpu*2=demo"), ("cpu=demo,cuda:0=demo+base", "cpu,cuda:0")],
)
def test_the_demo_keeps_the_models_of_a_device_unless_it_lacks_one(device: str, used: str) -> None:
    assert _chosen_settings(Settings.in_code(device=device, profile="demo"), named=False)["device"] == used


def test_the_demo_asks_for_one_of_several_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bot.playground.demo.configure_logging", lambda _: None)
    settings = Settings.in_code(profiles=("demo", "demo-guided"))
    out = tmp_path / "a [bold]circle.png"
    run_demo(settings, "a red [bold]circle --steps 1", out, "demo-guided")
    said = capsys.readouterr().out
    assert "/imagine prompt:a red [bold]circle --steps 1  model:demo-guided" in said
    assert "guided" in said.rpartition("step")[2], "with several models the result names its own"
    assert f"is saved as {out}." in said
    assert out.stat().st_size
