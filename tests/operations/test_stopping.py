"""A signal ends the program within two seconds, also while it waits for the hub; each line of its log is JSON."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.hub import MODEL, fake_hub
from tests.helpers.loopback import TOKEN, Loopback
from tests.helpers.waiting import until
from zimage_engine.catalog import DEMO_WEIGHTS

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.system  # each starts the bot's process, which imports torch


@pytest.mark.parametrize("trouble", ["retries", "download"])
async def test_a_signal_while_the_hub_is_asked(tmp_path: Path, trouble: str) -> None:
    model = Path(shutil.copytree(DEMO_WEIGHTS, tmp_path / "model"))
    discord = Loopback()
    await discord.start()
    with fake_hub(model) as hub:
        if trouble == "retries":
            hub.refusal = (503, {})
        else:
            hub.hangs = {path.relative_to(model).as_posix(): 1000 for path in model.glob("*/*.safetensors")}
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
            "PYTHONPATH": str(ROOT), "LOOPBACK": discord.base, "DISCORD_TOKEN": TOKEN, "PROFILE": "demo",
            "DEVICE": "cpu", "MODEL": MODEL, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hub"),
            "LOG_FORMAT": "json", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.helpers.launch_bot", cwd=tmp_path, env=environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        asked = (lambda: len(hub.requests) > 2) if trouble == "retries" else (lambda: discord.ready)
        await until(lambda: asked() or process.returncode is not None, 60)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        printed, _ = await asyncio.wait_for(process.communicate(), 30)
        seconds = time.monotonic() - began
    await discord.stop()
    lines = [json.loads(line) for line in printed.decode().splitlines()]
    assert (lines[0]["event"], "version" in lines[0]) == ("starting", True)
    assert (process.returncode, seconds < 2.5) == (0, True), (seconds, lines)
    assert discord.gateway.identified == (0 if trouble == "retries" else 1)
