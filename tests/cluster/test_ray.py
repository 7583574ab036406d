"""An engine on Ray on this machine: the same pictures, lost and stopped actors, and nothing that is left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.helpers.waiting import until
from zimage_engine.catalog import find_profile
from zimage_engine.cluster.config import ClusterConfig
from zimage_engine.cluster.start import start_on_cluster
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.pixels import to_png
from zimage_engine.types import EngineError, ImageRequest, RawImage
from zimage_engine.weights import complete_profile

pytestmark = [pytest.mark.system, pytest.mark.pictures]  # Ray takes ten seconds to start

PROFILE = complete_profile(find_profile("demo"))
CONFIG = EngineConfig(PROFILE, "cpu", measure=False)
DETECTION_SECONDS = 10.0


def ask(name: str, seed: int = 7, **options: object) -> ImageRequest:
    return ImageRequest(name, "a red circle", 256, 256, 2, seed, **options)  # type: ignore[arg-type]


def differ(one: RawImage, other: RawImage) -> int:
    """Return by how much the pictures differ at most, of 255."""
    first, second = (np.frombuffer(each.data, np.uint8).astype(int) for each in (one, other))
    return int(np.abs(first - second).max())


def title_of(process: psutil.Process) -> str:
    """Return the command line of a process, or the title that Ray has given it; empty if it has ended."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def actors(pid: int | None = None) -> list[psutil.Process]:
    """Return the processes of the actors that hold a worker, below a process or this one."""
    return [each for each in psutil.Process(pid).children(recursive=True) if "DeviceActor" in title_of(each)]


def over(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine with two workers that has begun to start."""
    started = start_on_cluster(ClusterConfig("local", 2, tmp_path / "ray"), CONFIG)
    try:
        yield started
    finally:
        await started.close()


async def test_pictures_are_those_of_a_thread_and_lost_workers_cost_only_time(engine: Engine, tmp_path: Path) -> None:
    async with Engine.start(CONFIG) as own:
        alone = (await own.submit(ask("alone"), owner=1).result()).image
        original = tmp_path / "original.png"
        original.write_bytes(to_png(alone.to_pil()))
        edit = ask("edit", 3, original=original, strength=0.5)
        edited = (await own.submit(edit, owner=1).result()).image
    await engine.ready()
    assert (await engine.submit(ask("a"), owner=1).result()).image == alone
    assert (await engine.submit(edit, owner=1).result()).image == edited, "the original crosses as bytes"

    await until(lambda: all(device.state == "ready" for device in engine.stats().devices), 30)
    faults = dict(zip((signal.SIGKILL, signal.SIGSTOP), actors(), strict=True))
    handles = [engine.submit(ask(f"{number}"), owner=number) for number in range(6)]
    began = time.monotonic()
    for sent, actor in faults.items():
        actor.send_signal(sent)
    await until(lambda: engine.stats().restarts == 2, DETECTION_SECONDS)
    assert time.monotonic() - began < DETECTION_SECONDS
    for handle in handles:
        assert differ((await handle.result()).image, alone) <= 1
    await until(lambda: all(map(over, faults.values())), 10)
    await until(lambda: [device.state for device in engine.stats().devices] == ["ready", "ready"], 60)


ABANDONED = """
import asyncio, sys
from pathlib import Path
from tests.cluster.test_ray import CONFIG, ClusterConfig, start_on_cluster

async def main():
    start_on_cluster(ClusterConfig("local", folder=Path(sys.argv[1])), CONFIG)
    await asyncio.sleep(100)

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_nothing_is_left_of_ray_when_the_bot_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "abandoned.py"
    script.write_text(ABANDONED)
    command = [sys.executable, str(script), str(tmp_path / "ray")]
    env = os.environ | {"PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    try:
        await until(lambda: bool(actors(process.pid)), 60)
        family = psutil.Process(process.pid).children(recursive=True)
        assert any("gcs_server" in title_of(each) for each in family)
        listening = [each for one in family for each in one.net_connections("tcp") if each.status == "LISTEN"]
        assert listening
        assert {each.laddr.ip.removeprefix("::ffff:") for each in listening} == {"127.0.0.1"}
    finally:
        process.kill()
        process.wait()
    await until(lambda: all(map(over, family)), 10)


async def test_a_cluster_without_its_token_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "no token"))
    engine = start_on_cluster(ClusterConfig("127.0.0.1:1", folder=tmp_path / "ray"), CONFIG)
    try:
        with pytest.raises(EngineError):
            await engine.ready()
    finally:
        await engine.close()
