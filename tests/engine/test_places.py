"""The syntax of the DEVICE setting."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest

from tests.helpers.waiting import until
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.probe import Device, DeviceReport
from zimage_engine.engine import Engine
from zimage_engine.executor import Executor
from zimage_engine.places import (
    DevicePlace,
    device_names,
    first_device,
    parse_places,
    share_memory,
    share_threads,
    without_models,
)
from zimage_engine.types import DeviceNotFound, InvalidRequest
from zimage_engine.weights import complete_profile

DEMO = find_profile("demo")
PROFILES = (replace(DEMO, name="turbo"), replace(DEMO, name="base"))
BOTH = ("turbo", "base")
FOUND = ("cuda:0", "cuda:1", "cpu")


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("auto", [("cuda:0", "cuda:0")]),
        ("cuda", [("cuda:0", "cuda:0")]),
        ("CUDA:1", [("cuda:1", "cuda:1")]),
        ("cpu", [("cpu", "cpu")]),
        ("all", [("cuda:0", "cuda:0"), ("cuda:1", "cuda:1")]),
        ("cuda:0, cuda:1", [("cuda:0", "cuda:0"), ("cuda:1", "cuda:1")]),
        ("cpu*2", [("cpu#1", "cpu"), ("cpu#2", "cpu")]),
        ("cuda:1*2,cpu", [("cuda:1#1", "cuda:1"), ("cuda:1#2", "cuda:1"), ("cpu", "cpu")]),
    ],
)
def test_places(text: str, places: list[tuple[str, str]]) -> None:
    assert [(place.name, place.device) for place in parse_places(text, [DEMO], FOUND)] == places


def test_without_what_was_found_names_are_taken_as_they_are() -> None:
    assert parse_places("auto", [DEMO]) == (DevicePlace("auto", "auto", ("demo",)),)
    assert parse_places("cuda:7", [DEMO]) == (DevicePlace("cuda:7", "cuda:7", ("demo",)),)
    assert parse_places("all", [DEMO], ["cpu"]) == (DevicePlace("cpu", "cpu", ("demo",)),)


def test_each_place_may_serve_the_models_that_it_names() -> None:
    places = parse_places("cuda:0=turbo,cuda:1=base + turbo", PROFILES, FOUND)
    assert [place.models for place in places] == [("turbo",), ("base", "turbo")]


def test_places_that_name_no_model_begin_with_one_after_the_other() -> None:
    assert [place.models for place in parse_places("cpu*3", PROFILES)] == [BOTH, BOTH[::-1], BOTH]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cuda:5", "There is no device “cuda:5” here: DEVICE may name cuda:0, cuda:1 and cpu, or be auto."),
        ("cuda:0,cuda", "DEVICE names cuda:0 twice: for two workers on it, write cuda:0*2."),
        ("all,cpu", "DEVICE=all,cpu combines “all” with more: name each device instead."),
        ("auto*2", "DEVICE=auto*2 combines “auto” with more: name each device instead."),
        ("cpu*0", "“cpu*0” in DEVICE means no worker at all: write at least 1 after the *."),
        ("cpu*65", "DEVICE names 65 workers; one engine may have 64."),
        ("cuda:0,", "“” in DEVICE is not a device: write it like cpu, cuda:0, cpu*2 (two workers) or cuda:0=MODEL."),
        ("cpu=turb", "DEVICE gives cpu the model “turb”, which this bot does not have; it has turbo and base."),
        ("cpu=turbo", "No device may serve the model base: add it in DEVICE, like cpu=turbo+base."),
        ("cuda:0*2=base, cpu=base", "No device may serve the model turbo: add it in DEVICE, like cuda:0*2=base+turbo."),
    ],
)
def test_mistakes(text: str, sentence: str) -> None:
    with pytest.raises(DeviceNotFound) as raised:
        parse_places(text, PROFILES, FOUND)
    assert str(raised.value) == sentence


def test_all_needs_to_know_what_there_is() -> None:
    with pytest.raises(DeviceNotFound, match="DEVICE=all found no device on this machine: set DEVICE=cpu"):
        parse_places("all", [DEMO])


def test_parts_of_a_text() -> None:
    assert device_names("cuda:1*2,cpu", FOUND) == ("cuda:1", "cpu")
    assert device_names("all", FOUND) == ("cuda:0", "cuda:1")
    assert device_names("auto", FOUND) == ("cuda:0",)
    assert [first_device(text) for text in ("cpu*2", "all", "cuda:1=turbo,cpu")] == ["cpu", "auto", "cuda:1"]
    assert without_models("cuda:0=turbo,cpu*2=base+turbo") == "cuda:0,cpu*2"


def test_the_cores_are_divided_among_several_places() -> None:
    assert [place.threads for place in share_threads(parse_places("cpu*2", [DEMO]), 4)] == [2, 2]
    assert [place.threads for place in share_threads(parse_places("cpu*3", [DEMO]), 2)] == [1, 1, 1]
    assert [place.threads for place in share_threads(parse_places("cpu", [DEMO]), 4)] == [0], "torch decides"


def test_the_free_memory_of_a_device_is_divided_among_its_places() -> None:
    places = share_memory(parse_places("cuda:0*2,cuda:1,cpu*3", [DEMO]), 90, {"cuda:0": 80, "cuda:1": 24})
    assert [(place.share, place.memory) for place in places] == [(2, 40)] * 2 + [(1, 0)] + [(3, 0)] * 3
    assert {place.host_memory for place in places} == {15}
    assert share_memory(parse_places("cuda:0*2", [DEMO]), 90, {})[0].memory == 0, "its share, once it is known"
    (alone,) = share_memory(parse_places("cuda:0", [DEMO]), 90, {"cuda:0": 80})
    assert alone.part_of(80, 90) == (80, 90)


def test_a_part_is_never_more_than_what_is_free() -> None:
    gpu, cpu = share_memory(parse_places("cuda:0,cpu", [DEMO]), 90, {"cuda:0": 80})
    assert (gpu.part_of(80, 90), gpu.part_of(70, 30)) == ((80, 45), (70, 30))
    assert (cpu.part_of(None, 90), cpu.part_of(None, 30)) == ((45, 45), (30, 30))


@pytest.mark.parametrize(
    ("text", "memory", "host"), [("cpu*2", 0, 30), ("cuda:0*2", 40, 30), ("cuda:0,cpu", 0, 30), ("all", 0, 0)]
)
async def test_an_engine_divides_memory_before_it_loads(
    text: str, memory: int, host: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu, cpu = Device("cuda:0", "cuda", "", 80, 80, bfloat16=True), Device("cpu", "cpu", "", 60, 60, bfloat16=True)
    report = DeviceReport(gpu, (gpu, cpu), 60, "2", None, None)
    monkeypatch.setattr("zimage_engine.device.probe.probe", lambda: report)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=60))
    made: list[DevicePlace] = []

    def make_executor(place: DevicePlace) -> Executor:
        made.append(place)
        raise DeviceNotFound("Only the place is needed.")

    engine = Engine.start(EngineConfig(complete_profile(DEMO), text), make_executor)
    await until(lambda: len(made) == (1 if text == "all" else 2))
    assert {(place.memory, place.host_memory) for place in made} == {(memory, host)}
    await engine.close()


def test_places_need_no_torch() -> None:
    code = "import sys, zimage_engine.places; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_request_is_of_the_model_that_it_names() -> None:
    config = EngineConfig(PROFILES[0], other_profiles=PROFILES[1:])
    assert [config.profile_of(profile.request("a circle")).name for profile in config.profiles] == list(BOTH)
    request = config.profile.request("a circle")
    assert config.profile_of(replace(request, model="")) is config.profile
    with pytest.raises(InvalidRequest, match="There is no model “demo” here; there is turbo, base"):
        config.profile_of(replace(request, model="demo"))
