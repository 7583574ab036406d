"""What members and owners see of several devices."""

from __future__ import annotations

from dataclasses import replace

from bot.commands.device_lines import device_lines
from zimage_engine.catalog import find_profile
from zimage_engine.stats import DeviceStats

PROFILES = [find_profile("demo")]
GOOD = DeviceStats("cpu#1", "CPU", "ready", ("demo",), "", 2, 1.0, 0)
BAD = DeviceStats("cuda:1", "cuda:1", "failed", (), "", 0, 0.0, 1, "No weights in **/models**.")


def test_one_device_has_no_line_of_its_own() -> None:
    assert device_lines([GOOD], PROFILES) == []


def test_each_of_several_devices_has_a_line_those_that_do_not_work_first() -> None:
    loading = replace(GOOD, name="cpu#2", state="loading", models=(), stage="reading the transformer", running=0)
    assert device_lines([GOOD, loading, BAD], PROFILES) == [
        "`cpu#2` CPU: loading · reading the transformer",
        "`cuda:1` cuda:1: failed · 1 restart",
        "`cpu#1` CPU: ready · Z-Image demo · 2 being generated",
    ]


def test_the_models_of_each_device_are_in_the_bot_s_order() -> None:
    """A device tells them in another one: the model that it used last comes first."""
    profiles = [find_profile("demo"), find_profile("demo-guided")]
    used = [replace(GOOD, models=("demo", "demo-guided")), replace(GOOD, name="b", models=("demo-guided", "demo"))]
    assert [line.split(" · ")[1] for line in device_lines(used, profiles)] == ["Z-Image demo, Z-Image demo guided"] * 2


def test_owners_see_why_a_device_failed() -> None:
    lines = device_lines([GOOD, BAD], PROFILES, with_reasons=True)
    assert lines[0] == "`cuda:1` cuda:1: failed · 1 restart · ``No weights in **/models**.``"


def test_many_devices_are_counted() -> None:
    lines = device_lines([replace(GOOD, name=f"n{number}") for number in range(64)], PROFILES)
    assert len(lines) == 9
    assert lines[-1] == "56 more devices"
