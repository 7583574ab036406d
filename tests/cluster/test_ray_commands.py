"""The commands with Ray on this machine, as processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.e2e.process import ROOT, BotProcess
from tests.helpers.loopback import Loopback
from tests.helpers.playground_process import open_process
from tests.helpers.waiting import until

pytestmark = pytest.mark.system  # Ray takes ten seconds to start


async def test_ctrl_c_ends_the_playground_at_once_while_ray_starts(tmp_path: Path) -> None:
    async with open_process(tmp_path, RAY_ADDRESS="local") as playground:
        await playground.link()

        def ray_starts() -> bool:
            family = psutil.Process(playground.pid).children(recursive=True)
            return any("--block" in each.cmdline() for each in family)

        await until(ray_starts, 30)
        status, seconds, left = await playground.interrupt()
        assert (status, playground.folders) == (0, [])
        await until(lambda: not any(map(psutil.pid_exists, left)), 3)
        assert seconds < 1.5, "a tenth of a second on a quiet machine; it was killed after two"


async def test_every_line_is_json_from_ray_s_start_to_its_end(tmp_path: Path) -> None:
    discord = Loopback()
    await discord.start()
    bot = BotProcess(discord, tmp_path)
    try:
        await bot.start(RAY_ADDRESS="local", LOG_FORMAT="json", LOG_LEVEL="DEBUG")
        await until(lambda: "loaded: device=" in bot.log, 60)
        for process in psutil.Process(bot.pid).children(recursive=True):
            if "DeviceActor" in " ".join(process.cmdline()):
                process.kill()
        await until(lambda: "worker lost" in bot.log, 15)
        bot.terminate()
        assert await bot.ended() == 0
    finally:
        bot.kill()
        await discord.stop()
    events = [json.loads(line) for line in bot.log.splitlines()]
    assert {"starting", "stopping"} <= {event["event"] for event in events}


async def test_sigterm_ends_the_demo_with_ray_and_leaves_nothing(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    environment |= {"PYTHONPATH": str(ROOT), "RAY_ADDRESS": "local", "TMPDIR": str(tmp_path)}
    demo = [sys.executable, "-m", "bot", "demo", "--out", str(tmp_path / "demo.png")]
    with subprocess.Popen(
        demo, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as run:
        try:
            bot = psutil.Process(run.pid)
            await until(lambda: any("--block" in each.cmdline() for each in bot.children(recursive=True)), 30)
            family = bot.children(recursive=True)
            run.terminate()
            _, said = await asyncio.to_thread(run.communicate, timeout=10)
        finally:
            run.kill()
    assert (run.returncode, said) == (128 + signal.SIGTERM, b"")
    assert list(tmp_path.glob("zimage-*")) == []
    await until(lambda: not any(each.is_running() for each in family), 3)
