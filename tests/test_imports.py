"""Errors in the settings and the token come at once: what is slow to import is imported when the model is loaded."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.process import BotProcess
from tests.helpers.loopback import Loopback
from tests.helpers.waiting import until
from zimage_engine.catalog import DEMO_WEIGHTS

SLOW = ["torch", "diffusers", "transformers", "huggingface_hub", "matplotlib"]


MODULES = [
    "zimage_engine",
    "zimage_engine.scheduling.scheduler",
    "zimage_engine.engine",
    "bot.services",
    "bot.client",
    "bot.app",
    "bot.cli.run",
    "bot.cli.draw",
    "bot.cli.doctor",
    "bot.cli.download",
    "zimage_engine.device.probe",
    "zimage_engine.process_executor",
]
IMPORT_EACH = f"""
import importlib, sys
for name in {MODULES}:
    importlib.import_module(name)
    if found := {{*{SLOW}}} & {{*sys.modules}}:
        sys.exit(f"{{name}} imports {{found}}")
"""


def test_importing_these_imports_no_slow_package() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_EACH], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.system
async def test_a_bot_whose_model_runs_in_a_process_of_its_own_never_imports_torch(tmp_path: Path) -> None:
    """From the start, with the automatic profile, to a picture and an orderly stop."""
    discord = Loopback()
    await discord.start()
    bot = BotProcess(discord, tmp_path)
    modules = tmp_path / "modules"
    try:
        await bot.start(WORKER="process", PROFILE="auto", DEVICE="auto", MODEL=str(DEMO_WEIGHTS), MODULES=str(modules))
        await discord.command("imagine", prompt="a red circle", steps=2)

        def delivered() -> bool:
            with closing(sqlite3.connect(bot.database)) as database:
                return database.execute("SELECT count(*) FROM jobs WHERE state = 'delivered'").fetchone()[0] == 1

        await until(delivered, 60)
        bot.terminate()
        assert await bot.ended() == 0, bot.log
    finally:
        bot.kill()
        await discord.stop()
    imported = set(modules.read_text(encoding="utf-8").split())
    assert "zimage_engine.process_executor" in imported
    assert imported & {"torch", "diffusers", "transformers"} == set()
