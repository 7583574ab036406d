"""A worker with several models: shared parts, swaps, and what is left of them."""

from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from diffusers import ZImagePipeline, ZImageTransformer2DModel
from safetensors.torch import load_file, save_file

from tests.helpers.two_models import (
    SECOND,
    build_second_model,
    draw,
    leave_room_for_one,
    load_with_room_for_one,
    loading,
    plans_of,
    request_of,
    two_models,
)
from zimage_engine.catalog import DEMO_WEIGHTS
from zimage_engine.device import model_loader
from zimage_engine.device.worker import Worker
from zimage_engine.places import DevicePlace
from zimage_engine.profiles import ModelProfile
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import ModelNotFound, NewRequest, OutOfMemory, Plan, Unit, UnitFailed, WorkerLost

FULL_DEVICE = "MPS backend out of memory (MPS allocated: 8.71 GB, other allocations: 320 KB, max allowed: 9.07 GB)."
MODELS = ("demo", SECOND)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> ModelProfile:
    return build_second_model(tmp_path_factory.mktemp("models") / "second")


@pytest.fixture(scope="module")
def alone(second: ModelProfile) -> dict[str, bytes]:
    """Return the picture of each model by a worker that has no other one."""
    config = two_models(second, other_profiles=())
    workers = {"demo": Worker.load(config), SECOND: Worker.load(replace(config, profile=second))}
    return {name: draw(worker, request_of(name)) for name, worker in workers.items()}


@pytest.fixture(scope="module")
def both(second: ModelProfile) -> Worker:
    """Return a worker that holds both models."""
    return Worker.load(two_models(second))


@pytest.fixture
def one(second: ModelProfile) -> Worker:
    """Return a worker that has room for one of the models at a time, and holds the demo."""
    return load_with_room_for_one(two_models(second), lambda _: None)


def test_a_worker_that_shares_its_device_plans_with_its_part_of_the_memory(
    second: ModelProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_room_for_one(monkeypatch)
    room = psutil.virtual_memory().available
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2 * room))

    def held(**shares: int) -> frozenset[str]:
        return Worker.load(two_models(second), DevicePlace("cpu#1", "cpu", MODELS, **shares)).models

    assert held() == {*MODELS}
    assert held(share=2, host_memory=int(room)) == {"demo"}
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=room))
    assert held(share=2, host_memory=int(2 * room)) == {"demo"}, "no more than is free"


def parts(worker: Worker, name: str) -> Any:
    found = worker.loaded.find(name)
    assert found is not None
    return found.model.parts


@pytest.mark.parametrize("link", [True, False], ids=["by link", "by copy"])
def test_parts_whose_files_are_the_same_are_loaded_once(tmp_path: Path, *, link: bool) -> None:
    worker = Worker.load(two_models(build_second_model(tmp_path / "other", link=link)))
    assert worker.models == {"demo", SECOND}
    demo, other = parts(worker, "demo"), parts(worker, SECOND)
    assert demo.text_encoder is other.text_encoder
    assert demo.vae is other.vae
    assert demo.tokenizer is other.tokenizer
    assert demo.transformer is not other.transformer
    assert len({id(loaded.previewer) for loaded in worker.loaded.all()}) == 1


def test_each_picture_is_that_of_a_worker_with_one_model(both: Worker, alone: dict[str, bytes]) -> None:
    """The models take turns at the same prompt, whose embedding they share but for what is a transformer's own."""
    assert alone["demo"] != alone[SECOND]
    asks = [request_of(name, name) for name in MODELS]
    drawn: dict[str, bytes] = {}
    for plans in zip(*(plans_of(ask) for ask in asks), strict=True):
        for plan in plans:
            result = both.begin(plan)()
            assert not result.failures
            drawn |= {name: image.data for name, image in result.images.items()}
            if plan.unit is Unit.ENCODE_TEXT and plan.model == SECOND:
                assert result.encoded_tokens == {SECOND: ()}, "it was encoded for the other model"
    assert drawn == alone
    assert {name: draw(both, request_of(name)) for name in reversed(MODELS)} == alone


def test_a_model_with_another_text_encoder_uses_no_embedding_of_the_first(tmp_path: Path) -> None:
    other = build_second_model(tmp_path / "other", link=False)
    file = tmp_path / "other" / "text_encoder" / "model.safetensors"
    save_file({name: tensor * 1.05 for name, tensor in load_file(file).items()}, file, {"format": "pt"})
    worker = Worker.load(two_models(other))
    alone = draw(Worker.load(two_models(other, profile=other, other_profiles=())), request_of(SECOND))
    assert parts(worker, "demo").text_encoder is not parts(worker, SECOND).text_encoder
    draw(worker, request_of("demo", "first"))
    encode, *_ = plans_of(request_of(SECOND, "second"))
    assert worker.begin(encode)().encoded_tokens["second"], "of the same prompt and scope as for the first model"
    assert draw(worker, request_of(SECOND)) == alone


def test_a_model_that_is_not_named_is_the_default_one(both: Worker, alone: dict[str, bytes]) -> None:
    assert draw(both, request_of("")) == alone["demo"]


@pytest.mark.parametrize("name", MODELS)
def test_each_model_draws_what_diffusers_does(one: Worker, second: ModelProfile, name: str) -> None:
    one.begin(loading(name))()
    ask = request_of(name)
    pipeline = ZImagePipeline.from_pretrained(DEMO_WEIGHTS if name == "demo" else second.weights)
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline(
        ask.prompt, height=128, width=128, num_inference_steps=ask.steps, guidance_scale=0.0,
        generator=torch.Generator().manual_seed(ask.seed),
    ).images[0]  # fmt: skip
    drawn = np.frombuffer(draw(one, ask), np.uint8).reshape(128, 128, 3).astype(int)
    assert np.abs(drawn - np.asarray(image).astype(int)).max() <= 1


def test_swapping_back_and_forth_leaves_nothing_behind(one: Worker, alone: dict[str, bytes]) -> None:
    """What is dropped is freed at once, without the garbage collector, and before the next transformer is read."""
    shared = parts(one, "demo").text_encoder
    alive: list[list[weakref.ref[Any]]] = []
    read: Any = ZImageTransformer2DModel.from_pretrained
    gc.collect()
    gc.disable()
    try:
        with pytest.MonkeyPatch.context() as patch:
            transformers: list[weakref.ref[Any]] = [weakref.ref(parts(one, "demo").transformer)]

            def counted(*args: Any, **options: Any) -> Any:
                alive.append([each for each in transformers if each() is not None])
                loaded = read(*args, **options)
                transformers.append(weakref.ref(loaded))
                return loaded

            patch.setattr(ZImageTransformer2DModel, "from_pretrained", counted)
            patch.setattr(gc, "collect", lambda *_: 0)
            for turn in range(5):
                for name in (SECOND, "demo"):
                    result = one.begin(loading(name))()
                    assert (result.models, one.models) == ({name}, {name})
                    if turn in (0, 4):
                        assert draw(one, request_of(name)) == alone[name]
    finally:
        gc.enable()
    assert alive == [[]] * 10
    assert parts(one, "demo").text_encoder is shared
    assert len(one.loaded._loader._loaded) == 6  # type: ignore[union-attr]
    assert one._held == {}


def test_a_model_is_dropped_after_what_has_begun_with_it_was_read(one: Worker, alone: dict[str, bytes]) -> None:
    """On a GPU another thread reads a picture while the next plan begins."""
    *before, decode = plans_of(request_of("demo"))
    for plan in before:
        one.begin(plan)()
    finish, unfinished = one.begin(decode), list[int]()
    load = one.loaded.load

    def watched(name: str) -> None:
        unfinished.append(one._unfinished)
        load(name)

    one.loaded.load = watched  # type: ignore[method-assign]
    thread = threading.Thread(target=one.begin, args=(loading(SECOND),))
    thread.start()
    assert finish().images["a"].data == alone["demo"]
    thread.join(20)
    assert unfinished == [0]
    assert one.models == {SECOND}


def test_a_scope_is_forgotten_for_all_models(both: Worker) -> None:
    def tokens(model: str, name: str, forget: tuple[str, ...] = ()) -> Any:
        ask = request_of(model, name, prompt="a green heart")
        plan = Plan(Unit.ENCODE_TEXT, (name,), (NewRequest(ask, "somebody"),), forget=forget)
        result = both.begin(plan)()
        both.begin(Plan(None, release=(name,)))()
        return result.encoded_tokens[name]

    assert tokens("demo", "a") == tokens(SECOND, "b", ("somebody",)) != ()
    assert tokens("demo", "c") == ()


def test_loading_what_is_loaded_costs_nothing(both: Worker) -> None:
    before = both.costs
    result = both.begin(loading(SECOND))()
    assert result.models == {"demo", SECOND}
    assert result.seconds < 0.1
    assert both.costs is before


def test_a_unit_of_a_model_that_was_dropped_fails_that_request_alone(one: Worker, alone: dict[str, bytes]) -> None:
    begun = request_of("demo", "begun")
    for plan in plans_of(begun)[:2]:
        assert not one.begin(plan)().failures
    one.begin(loading(SECOND))()
    result = one.begin(Plan(Unit.DENOISE, ("begun",), model="demo"))()
    assert isinstance(result.failures["begun"], UnitFailed)
    assert "replaced by another" in str(result.failures["begun"])
    assert not result.out_of_memory
    assert draw(one, request_of(SECOND)) == alone[SECOND]
    assert one._held == {}


def test_a_request_that_has_begun_goes_on_when_its_model_is_back(one: Worker, alone: dict[str, bytes]) -> None:
    first, *rest = plans_of(request_of("demo"))
    one.begin(first)()
    one.begin(rest[0])()
    for name in (SECOND, "demo"):
        assert not one.begin(loading(name))().failures
    results = [one.begin(plan)() for plan in rest[1:]]
    assert results[-1].images["a"].data == alone["demo"]


def test_files_that_are_damaged_fail_the_request_and_nothing_is_dropped(
    tmp_path: Path, alone: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """The sentence is for a member: what the operator has to know is in the log."""
    damaged = build_second_model(tmp_path / "damaged")
    worker = load_with_room_for_one(two_models(damaged), lambda _: None)
    kept = parts(worker, "demo")
    (tmp_path / "damaged" / "transformer" / "diffusion_pytorch_model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    result = worker.begin(loading(SECOND))()
    error = result.failures["x"]
    assert isinstance(error, ModelNotFound)
    assert str(error) == "Second demo cannot be loaded now; choose another model. The operator's log says why."
    assert "is damaged" in caplog.text
    assert result.models == {"demo"}
    assert parts(worker, "demo") is kept
    assert draw(worker, request_of("demo")) == alone["demo"]


def test_a_model_that_cannot_be_loaded_gives_way_to_the_one_before(
    one: Worker, alone: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, kind in ((ValueError("no such layer"), ModelNotFound), (TypeError("a bug"), UnitFailed)):
        break_transformer_of(SECOND, error, monkeypatch)
        result = one.begin(loading(SECOND))()
        assert type(result.failures["x"]) is kind
        assert result.models == {"demo"}
        monkeypatch.undo()
    assert draw(one, request_of("demo")) == alone["demo"]
    assert one.begin(loading(SECOND))().models == {SECOND}
    assert draw(one, request_of(SECOND)) == alone[SECOND]


def break_transformer_of(name: str, error: Exception, patch: pytest.MonkeyPatch, dtype: Any = None) -> None:
    """Raise when this model's transformer is read, in this type alone if one is given."""
    read: Any = ZImageTransformer2DModel.from_pretrained

    def broken(folder: Path, **options: Any) -> Any:
        of_second = DEMO_WEIGHTS not in Path(folder).parents
        if of_second == (name == SECOND) and dtype in (None, options["dtype"]):
            raise error
        return read(folder, **options)

    patch.setattr(ZImageTransformer2DModel, "from_pretrained", broken)


def test_a_swap_that_runs_out_of_memory_steps_down(one: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next slower plan is for all models: the text encoder, which both have, is loaded again by it."""
    before = weakref.ref(parts(one, "demo").text_encoder)
    break_transformer_of(SECOND, RuntimeError(FULL_DEVICE), monkeypatch, torch.float32)
    assert one.begin(loading(SECOND))().models == {SECOND}
    assert parts(one, SECOND).transformer.dtype is torch.bfloat16
    assert parts(one, SECOND).text_encoder.dtype is torch.bfloat16
    assert before() is None
    assert len(draw(one, request_of(SECOND))) == 128 * 128 * 3
    assert one.begin(loading("demo"))().models >= {"demo"}
    assert parts(one, "demo").transformer.dtype is torch.bfloat16
    assert one.costs.keys() == {"demo", SECOND}


def test_a_model_for_which_there_is_no_memory_gives_way_to_the_one_before(
    one: Worker, alone: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_transformer_of(SECOND, RuntimeError(FULL_DEVICE), monkeypatch)
    result = one.begin(loading(SECOND))()
    assert isinstance(result.failures["x"], OutOfMemory)
    assert "choose another model" in str(result.failures["x"])
    assert not result.out_of_memory, "the request is not to be tried again"
    assert result.models == {"demo"}
    assert draw(one, request_of("demo")) == alone["demo"], "in the type in which it was before"


def test_a_worker_without_any_model_is_lost(one: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ZImageTransformer2DModel, "from_pretrained", lambda *_, **__: 1 / 0)
    with pytest.raises(WorkerLost):
        one.begin(loading(SECOND))


def test_a_model_that_the_place_does_not_serve_is_refused(second: ModelProfile, both: Worker) -> None:
    result = both.begin(loading("turbo"))()
    assert isinstance(result.failures["x"], ModelNotFound)
    assert result.models == {"demo", SECOND}


def test_a_plan_ahead_is_skipped_after_a_model_could_not_be_loaded(both: Worker) -> None:
    both.begin(loading("turbo"))()
    assert both.begin(Plan(Unit.DENOISE, ("a",), ahead=True))().skipped
    both.begin(loading("demo"))()
    assert not both.begin(Plan(Unit.DENOISE, ("a",), ahead=True))().skipped


def test_costs_are_estimated_until_they_are_measured(
    second: ModelProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are measured once for each model, and known at the next start. The seconds of loading are remembered."""
    measured: list[str] = []

    def known_costs(model: Any, profile: ModelProfile, *_: Any) -> CostModel:
        measured.append(profile.name)
        return CostModel(linear=0.5 if profile.name == "demo" else 0.25)

    monkeypatch.setattr(model_loader, "known_costs", known_costs)
    config = two_models(second, measure=True, cache_dir=tmp_path)
    worker = load_with_room_for_one(config, lambda _: None)
    demo = worker.costs["demo"]
    assert (measured, demo.linear, demo.budget) == (["demo"], 0.5, 8 * 96)
    assert worker.costs[SECOND].linear == demo.linear, "its dimensions are the demo's"
    assert worker.load_seconds.keys() == {"demo", SECOND}
    expected = worker.load_seconds[SECOND]
    assert expected > 0
    worker.begin(loading(SECOND))()
    assert worker.costs["demo"] is demo, "what was learned of it stays"
    assert worker.costs[SECOND].linear == 0.25
    worker.begin(loading("demo"))()
    worker.begin(loading(SECOND))()
    assert measured == ["demo", SECOND]
    again = load_with_room_for_one(config, lambda _: None)
    assert again.load_seconds[SECOND] == pytest.approx(worker.load_seconds[SECOND], rel=1e-6)
