"""What a cluster is made of, without Ray: seats on nodes, fingerprints, and the actor in this process."""

from __future__ import annotations

import json
import logging
import multiprocessing
import pickle
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.util import _finalizer_registry  # type: ignore[attr-defined]
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from bot.cli.main import app
from bot.errors import ExitStatus
from bot.settings import Settings
from tests.helpers.toy_worker import load_swapping_toy, load_toy
from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.cluster import cluster_watch
from zimage_engine.cluster.actor import Assignment, DeviceActor, ModelLoaded
from zimage_engine.cluster.bridge import ActorWorker, with_pixels
from zimage_engine.cluster.cluster_watch import ClusterWatch
from zimage_engine.cluster.config import ClusterConfig, RayNodeInfo, Seat, read_nodes, seats_of
from zimage_engine.cluster.fingerprint import PACKAGE, Fingerprint, files_of, local_profile
from zimage_engine.cluster.ray_node import make_folder, write_token
from zimage_engine.config import EngineConfig
from zimage_engine.device.child import Loaded, LoadFailed, Lost
from zimage_engine.places import DevicePlace
from zimage_engine.types import ImageRequest, ModelNotFound, NewRequest, Plan, PlanResult, Unit
from zimage_engine.weights import complete_profile

PROFILE = find_profile("demo")
NODE = RayNodeInfo("a" * 56, "10.0.0.5", "box", gpus=0, cpus=8)
PLACE = DevicePlace("10.0.0.5/cpu#1", "cpu", ("demo",))


def names(node: RayNodeInfo, address: str = "10.0.0.1:6379", workers: int | None = None) -> list[str]:
    return [place.name for place, _ in seats_of(node, ClusterConfig(address, workers), ("demo",))]


def test_a_node_has_a_worker_on_each_gpu_and_without_one_as_many_as_the_operator_says() -> None:
    gpus = replace(NODE, gpus=2)
    assert names(gpus) == ["10.0.0.5/cuda:0", "10.0.0.5/cuda:1"]
    assert names(gpus, workers=1) == ["10.0.0.5/cuda:0"]
    assert names(NODE) == []
    assert names(NODE, workers=2) == ["10.0.0.5/cpu#1", "10.0.0.5/cpu#2"]
    assert names(NODE, "local") == ["10.0.0.5/cpu#1"]
    assert names(replace(NODE, workers=3), workers=1) == [f"10.0.0.5/cpu#{n}" for n in (1, 2, 3)]
    assert names(replace(NODE, cpus=0), workers=2) == [], "the bot's own node offers nothing"
    seats = seats_of(NODE, ClusterConfig("auto", 2), ("turbo", "base"))
    assert [(place.models, place.threads) for place, _ in seats] == [(("turbo", "base"), 4), (("base", "turbo"), 4)]


@pytest.mark.parametrize("node", [replace(NODE, memory=60), replace(NODE, gpus=3, memory=60)])
def test_the_workers_of_a_node_share_its_memory(node: RayNodeInfo) -> None:
    def parts(workers: int) -> list[int]:
        return [place.host_memory for place, _ in seats_of(node, ClusterConfig("auto", workers), ("demo",))]

    assert (parts(1), parts(2), parts(3)) == ([0], [30] * 2, [20] * 3)


def test_the_table_of_nodes_says_which_drain_and_leaves_out_the_dead() -> None:
    def row(name: str, *, alive: bool = True, **resources: float) -> dict[str, Any]:
        place = {"NodeManagerAddress": "10.0.0.5", "NodeManagerHostname": "box"}
        return {"NodeID": name, "Alive": alive, "Resources": resources, **place}

    table = [row("b", GPU=2.0, CPU=8.0, memory=6e10), row("a", CPU=4.0, zimage_workers=2.0), row("c", alive=False)]
    assert read_nodes(table, {"b": 0}) == (
        RayNodeInfo("a", "10.0.0.5", "box", 0, 4, workers=2),
        RayNodeInfo("b", "10.0.0.5", "box", 2, 8, draining=True, memory=60_000_000_000),
    )


def test_a_worker_of_another_kind_is_refused_with_a_sentence_that_says_what_to_do() -> None:
    expected = Fingerprint("e" * 64, "bfloat16", {"demo": {"vae/config.json": "1"}})
    assert expected.difference(replace(expected), "box") is None
    version = expected.difference(replace(expected, engine="f" * 64), "box")
    assert version is not None
    assert version.startswith("box runs another version of zimage-bot (ffffffff instead of")
    assert "set DTYPE" in (expected.difference(replace(expected, dtype="float32"), "box") or "")
    for files in ({"vae/config.json": "2"}, {}, {"vae/config.json": "1", "vae/more.safetensors": "3"}):
        sentence = expected.difference(replace(expected, files={"demo": files}), "box")
        assert sentence is not None
        assert "other files of the model demo (vae/" in sentence


def test_a_fingerprint_has_the_headers_of_weights_and_not_their_values(tmp_path: Path) -> None:
    for name in ("transformer", "tokenizer"):
        (tmp_path / name).mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "tokenizer/tokenizer.json").write_text("{}")
    weights = tmp_path / "transformer" / "model.safetensors"

    def written(shape: list[int], value: bytes) -> dict[str, str]:
        header = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}).encode()
        weights.write_bytes(struct.pack("<Q", len(header)) + header + value)
        # weights_folder takes any folder that has weights.
        return files_of(replace(PROFILE, weights=str(tmp_path)))

    first = written([1], b"aaaa")
    assert sorted(first) == ["model_index.json", "tokenizer/tokenizer.json", "transformer/model.safetensors"]
    assert written([1], b"bbbb") == first
    assert written([1, 1], b"aaaa") != first
    weights.write_bytes(b"no")
    with pytest.raises(ModelNotFound, match="download the model again"):
        files_of(replace(PROFILE, weights=str(tmp_path)))


def test_weights_that_ship_with_the_program_are_found_where_it_is_installed_here() -> None:
    there = Path("/opt/venv/lib/zimage_engine")
    theirs = replace(PROFILE, weights=str(there / DEMO_WEIGHTS.relative_to(PACKAGE)))
    assert Path(local_profile(theirs, there).weights) == DEMO_WEIGHTS
    assert local_profile(replace(PROFILE, weights="/models/own"), there).weights == "/models/own"


def test_originals_and_masks_cross_as_bytes_and_once(tmp_path: Path) -> None:
    path = tmp_path / "original.png"
    path.write_bytes(b"png")
    request = ImageRequest("a", "a red circle", 256, 256, 2, 7, original=path, mask=b"mask")
    plan = Plan(Unit.ENCODE_TEXT, ("a",), (NewRequest(request, "scope"),))
    (sent,) = with_pixels(plan).new
    assert (sent.request.original, sent.request.mask, sent.scope) == (b"png", b"mask", "scope")
    later = Plan(Unit.DENOISE, ("a",))
    assert with_pixels(later) is later
    path.unlink()
    (kept,) = with_pixels(plan).new
    assert kept.request.original == path, "the worker says that it cannot be read"


@pytest.fixture
def actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeviceActor]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    monkeypatch.setattr(Assignment, "load", lambda _, report: load_toy(tmp_path, report, ("reading",)))
    config = EngineConfig(complete_profile(PROFILE), "cpu", measure=False)
    yield DeviceActor(Assignment(config, PLACE, PACKAGE, logging.INFO))
    root.handlers = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def test_a_fingerprint_names_the_type_for_the_worker_s_part_of_the_memory(actor: DeviceActor) -> None:
    def dtype(**changes: int) -> str:
        assignment = replace(actor._assignment, place=replace(PLACE, **changes))
        found = DeviceActor(assignment).fingerprint()
        assert isinstance(found, Fingerprint)
        return found.dtype

    assert dtype() == "float32"
    assert dtype(host_memory=1_603_000_000) == "bfloat16", "1.5 GB to work in, 15 MB in bfloat16 and 31 in float32"


def first_plan(name: str, prompt: str = "a red circle") -> Plan:
    return Plan(Unit.ENCODE_TEXT, (name,), (NewRequest(ImageRequest(name, prompt, 32, 32, 2, 7)),))


def test_an_actor_executes_plans_in_the_order_of_their_numbers(actor: DeviceActor) -> None:
    assert isinstance(actor.load(), Loaded)
    plans = [first_plan("a"), Plan(Unit.DENOISE, ("a",)), Plan(Unit.DECODE, ("a",))]
    answers: dict[int, PlanResult | ModelLoaded | Lost] = {}
    threads = [
        threading.Thread(target=lambda n=n: answers.update({n: actor.run(n, plans[n])}), daemon=True) for n in (2, 1, 0)
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    for thread in threads:
        thread.join(10)
    last = answers[2]
    assert isinstance(last, PlanResult)
    assert last.images["a"].data == bytes([7]) * (3 * 32 * 32)


def test_news_hold_stages_and_log_records_once(actor: DeviceActor) -> None:
    actor.load()
    logging.getLogger("zimage_engine.device").warning("it is %s", "hot")
    stage, record = actor.news()
    assert stage == "reading"
    assert isinstance(record, logging.LogRecord)
    assert record.getMessage() == "it is hot"
    assert actor.news() == []


def test_what_an_actor_holds_after_loading_is_known_where_it_is_used(
    actor: DeviceActor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Assignment, "load", lambda _, report: load_swapping_toy(tmp_path, report))
    actor = DeviceActor(actor._assignment)
    loaded = actor.load()
    assert isinstance(loaded, Loaded)
    ray = SimpleNamespace(
        wait=lambda *_, **__: None,
        # Ray pickles what it passes on.
        get=lambda answer: pickle.loads(pickle.dumps(answer)),  # noqa: S301
        exceptions=SimpleNamespace(RayError=OSError),
    )
    run = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=actor.run))
    worker = ActorWorker(ray, SimpleNamespace(run=run), loaded, Seat("a", 0, "box"), print)
    demo = worker.costs["demo"]
    assert worker.begin(Plan(Unit.LOAD_MODEL, ("a",), model="second"))().models == worker.models == {"second"}
    assert (worker.costs["second"].linear, worker.load_seconds["demo"]) == (0.5, 4.0)
    assert worker.costs["demo"] is demo, "the bot corrects it"


def test_an_actor_whose_worker_breaks_says_why(actor: DeviceActor) -> None:
    actor.load()
    actor.run(0, first_plan("a", "raise"))
    assert actor.run(1, Plan(Unit.DENOISE, ("a",))) == Lost("The worker stopped (RuntimeError).")


def test_an_actor_whose_model_is_missing_says_so(actor: DeviceActor, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(actor._assignment.config, profile=replace(PROFILE, weights="/nowhere/at/all"))
    monkeypatch.setattr(actor, "_assignment", replace(actor._assignment, config=config))
    answer = actor.fingerprint()
    assert isinstance(answer, LoadFailed)
    assert isinstance(answer.error, ModelNotFound)


def test_each_try_to_reach_the_cluster_ends_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    class Process:
        """Ends as soon as it has said a word, or cannot be started."""

        fault: OSError | None = None

        def __init__(self, args: tuple[Connection, object, int], **_: object) -> None:
            self._connection = args[0]

        def start(self) -> None:
            if self.fault is not None:
                raise self.fault
            self._connection.send("starting Ray")

        def join(self, seconds: float) -> None:
            assert self.fault is None, "it was not started"

        def kill(self) -> None:
            pass

    monkeypatch.setattr(cluster_watch, "_CONTEXT", SimpleNamespace(Pipe=multiprocessing.Pipe, Process=Process))
    before, told = len(_finalizer_registry), list[str]()
    watch = ClusterWatch(ClusterConfig("auto"), print, print, print, told.append)
    assert "have ended" in str(watch._watch())
    assert told == ["starting Ray"]
    broken = ClusterWatch(ClusterConfig("auto"), print, print, print, lambda _: told.remove("nothing"))
    assert "broke" in str(broken._watch())
    Process.fault = OSError(24, "Too many open files")
    assert "Too many open files" in str(watch._watch())
    assert len(_finalizer_registry) == before


def test_ray_s_folder_is_private_short_and_new(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / ("long" * 10))
    try:
        assert len(str(folder)) <= 40
        assert folder.stat().st_mode & 0o077 == 0
        token = write_token(folder / "token")
        assert token.stat().st_mode & 0o077 == 0
        assert len(token.read_text()) == 64
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


NO_ADDRESSES = ["nowhere", "10.0.0.1", "10.0.0.1:port", "10.0.0.1:65536", "ray://10.0.0.1:10001", "a b:1", "a..b:1"]


@pytest.mark.parametrize("value", NO_ADDRESSES)
def test_an_address_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", value)
    with pytest.raises(ValidationError, match="local, auto, or a host and a port"):
        Settings(_env_file=None)


@pytest.mark.parametrize("command", ["cluster", "worker"])
@pytest.mark.parametrize("value", NO_ADDRESSES)
def test_a_command_refuses_an_address_that_is_none(command: str, value: str) -> None:
    refused = CliRunner().invoke(app, [command, "--address", value])
    assert refused.exit_code == ExitStatus.USAGE
    assert refused.output == "--address takes a host and a port, like 10.0.0.1:6379.\n"


def test_workers_are_a_number_or_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERS", "2")
    assert Settings(_env_file=None).workers == 2
    monkeypatch.setenv("WORKERS", "0")
    with pytest.raises(ValidationError, match="workers"):
        Settings(_env_file=None)
