"""Who reads the operator's files, which files run code, and whether deleted prompts stay in a process."""

from __future__ import annotations

import os
import pickle
import sqlite3
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import AutoencoderTiny

from bot.store.database import Database, migrate
from tests.helpers.databases import add_database
from tests.helpers.toy_worker import load_toy
from tests.helpers.waiting import until
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.model.previews import LinearMap, TinyDecoder, _find_decoder
from zimage_engine.process_executor import ProcessExecutor
from zimage_engine.scheduling.request_states import scope_of
from zimage_engine.types import ImageRequest
from zimage_engine.weights import complete_profile

CPU = torch.device("cpu")


class Payload:
    """What an attacker puts into a file of weights: unpickling it makes a folder."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.made),)


def test_a_preview_decoder_with_code_in_its_weights_is_not_read(tmp_path: Path) -> None:
    folder, made = tmp_path / "tiny", tmp_path / "made"
    AutoencoderTiny(latent_channels=16).save_pretrained(folder, safe_serialization=False)
    vae: Any = SimpleNamespace(config=SimpleNamespace(latent_channels=16, scaling_factor=0.3611), dtype=torch.float32)
    assert isinstance(_find_decoder(tmp_path, vae, str(folder), CPU), LinearMap), "only safetensors are read"
    (folder / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Payload(made)))
    assert isinstance(_find_decoder(tmp_path, vae, str(folder), CPU), LinearMap)
    assert not made.exists()
    AutoencoderTiny(latent_channels=16).save_pretrained(folder)
    assert isinstance(_find_decoder(tmp_path, vae, str(folder), CPU), TinyDecoder)


async def test_another_user_of_the_machine_does_not_read_an_older_database(tmp_path: Path) -> None:
    """One that was made before, or copied: with an open log, in a folder that everybody may read."""
    path = tmp_path / "data" / "bot.sqlite3"
    path.parent.mkdir()
    add_database(path)
    left_open = sqlite3.connect(path)
    left_open.execute("PRAGMA journal_mode = WAL")
    left_open.execute("CREATE TABLE left_open (number INTEGER)")
    files = [path, path.with_name("bot.sqlite3-wal"), path.with_name("bot.sqlite3-shm")]
    path.parent.chmod(0o755)
    for file in files:
        file.chmod(0o644)
    database = await Database.open(path)
    assert [oct(file.stat().st_mode & 0o777) for file in (path.parent, *files)] == ["0o700", "0o600", "0o600", "0o600"]
    await database.close()
    left_open.close()


def test_a_new_database_is_private_whatever_the_umask_and_a_shared_folder_stays_shared(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        migrate(tmp_path / "data" / "bot.sqlite3")
        tmp_path.chmod(0o1777)
        migrate(tmp_path / "bot.sqlite3")
    finally:
        os.umask(before)
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / "bot.sqlite3").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "bot.sqlite3").stat().st_mode & 0o777 == 0o600
    assert tmp_path.stat().st_mode & 0o7777 == 0o1777


async def test_deleting_makes_a_process_with_the_model_forget_the_prompts(tmp_path: Path) -> None:
    """``tests/commands/test_privacy.py`` looks into the cache of a model in a thread."""
    profile = complete_profile(find_profile("demo"))
    config = EngineConfig(profile, "cpu", measure=False)
    engine = Engine.start(config, lambda _: ProcessExecutor(partial(load_toy, tmp_path), profile.max_pixels))
    try:
        await engine.submit(ImageRequest("a", "a secret", 256, 256, 2, 7), owner=1).result()
        (known,) = engine._queue.predictions._texts._known.values()  # of the only device
        keys = known._keys
        assert {scope for scope, _ in keys} == {scope_of(1)}
        engine.forget(1)
        await until((tmp_path / f"forgot {scope_of(1)}").exists)
        assert not keys, "nor does the forecast know them"
    finally:
        await engine.close()
