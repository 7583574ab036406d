"""Several models on one device: which are held together, by the figures of docs/operations.md."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.device.test_memory import TURBO
from zimage_engine.catalog import find_profile
from zimage_engine.device.memory import GB, MemoryPlan, PartSize, PartSizes, Placement
from zimage_engine.device.model_memory import ModelsPlan, fitting_model_plans, kept_models, model_plans_at
from zimage_engine.places import DevicePlace, parse_places, share_memory
from zimage_engine.types import OutOfMemory


def parts_of(sizes: PartSizes, transformer: str) -> Mapping[Hashable, PartSize]:
    """Return the parts of a model that has a transformer of its own alone."""
    return {"encoder": sizes.text_encoder, transformer: sizes.transformer, "vae": sizes.vae}


PARTS = {name: parts_of(TURBO, name) for name in ("turbo", "base", "third")}
TURBO_AND_BASE = [(TURBO, PARTS["turbo"]), (TURBO, PARTS["base"])]


@pytest.mark.parametrize(
    ("kind", "device", "host", "placement", "width", "together"),
    [
        ("cuda", 80, 64, Placement.RESIDENT, 2, True),
        ("cuda", 48, 64, Placement.RESIDENT, 2, True),
        ("cuda", 40, 64, Placement.RESIDENT, 2, True),
        ("cuda", 32, 64, Placement.RESIDENT, 2, False),
        ("cuda", 24, 32, Placement.RESIDENT, 2, False),
        ("cuda", 16, 32, Placement.ENCODER_ON_CPU, 2, False),
        ("cuda", 8, 32, Placement.GROUP_OFFLOAD, 2, False),
        ("cpu", 128, 128, Placement.RESIDENT, 4, True),
        ("cpu", 64, 64, Placement.RESIDENT, 4, False),
        ("mps", 64, 64, Placement.RESIDENT, 2, True),
    ],
)
def test_turbo_and_base(kind: str, device: int, host: int, placement: Placement, width: int, together: bool) -> None:  # noqa: FBT001
    plan = fitting_model_plans(TURBO_AND_BASE, kind, device * GB, host * GB)[0]  # type: ignore[arg-type]
    assert (plan.memory.placement, plan.memory.width) == (placement, width)
    assert kept_models(plan, "base", ["turbo"], PARTS) == (["base", "turbo"] if together else ["base"])


def test_together_turbo_and_base_take_the_second_transformer_more() -> None:
    """34.3 GB with 1.5 GB to work: the figure of docs/operations.md."""
    needed = sum(TURBO.bytes(2)) + TURBO.transformer.bytes(2) + 1.5 * GB
    assert needed == pytest.approx(34.3 * GB, rel=0.01)
    for free, together in ((needed / 0.95 + 1, True), (needed / 0.95 - 1, False)):
        assert (fitting_model_plans(TURBO_AND_BASE, "cuda", free, 64 * GB)[0].room > 0) is together


def test_one_at_a_time_is_tried_before_a_slower_placement() -> None:
    plans = fitting_model_plans(TURBO_AND_BASE, "cuda", 80 * GB, 64 * GB)
    assert [(plan.memory.placement, plan.room > 0) for plan in plans[:3]] == [
        (Placement.RESIDENT, True),
        (Placement.RESIDENT, False),
        (Placement.ENCODER_MOVES, False),
    ]


def test_one_model_has_the_plans_that_it_had() -> None:
    plans = fitting_model_plans(TURBO_AND_BASE[:1], "cuda", 80 * GB, 64 * GB)
    assert [plan.room for plan in plans] == [0] * 4


def test_the_least_recently_used_model_goes_first() -> None:
    plan = fitting_model_plans(TURBO_AND_BASE, "cuda", 40 * GB, 64 * GB)[0]
    assert kept_models(plan, "third", ["base", "turbo"], PARTS) == ["third", "base"]
    assert kept_models(plan, "third", ["turbo", "base"], PARTS) == ["third", "turbo"]


def test_a_model_without_parts_of_its_own_always_stays() -> None:
    parts = {**PARTS, "guided": PARTS["turbo"]}
    one_at_a_time = ModelsPlan(fitting_model_plans(TURBO_AND_BASE, "cuda", 24 * GB, 64 * GB)[0].memory)
    assert kept_models(one_at_a_time, "turbo", ["base", "guided"], parts) == ["turbo", "guided"]
    assert kept_models(one_at_a_time, "base", ["turbo", "guided"], parts) == ["base"]


def test_models_of_different_sizes_share_a_placement_that_suits_each() -> None:
    small = PartSizes(*(PartSize(10_000_000) for _ in range(3)))
    models = [(small, parts_of(small, "small")), (TURBO, PARTS["turbo"])]
    plan = fitting_model_plans(models, "cuda", 16 * GB, 32 * GB)[0]
    assert plan.memory.placement is Placement.ENCODER_ON_CPU
    with pytest.raises(OutOfMemory, match="GB more"):
        fitting_model_plans(models, "cuda", 2 * GB, 32 * GB)
    other = replace(TURBO, transformer=PartSize(2_000_000_000), text_encoder=PartSize(10_000_000_000))
    with pytest.raises(OutOfMemory, match="fewer models"):
        fitting_model_plans([(TURBO, PARTS["turbo"]), (other, parts_of(other, "x"))], "cuda", 12 * GB, 24 * GB)


def taken(place: DevicePlace, plan: MemoryPlan) -> tuple[float, float]:
    """Return the bytes of weights that Turbo has, at most, on a place's GPU and on the host at a time."""
    encoder, transformer, vae = TURBO.bytes(plan.width)
    if place.device == "cpu":
        return 0.0, encoder + transformer + vae
    return {
        Placement.RESIDENT: (encoder + transformer + vae, 0.0),
        Placement.ENCODER_MOVES: (encoder + transformer + vae, max(encoder, transformer)),
        Placement.ENCODER_ON_CPU: (transformer + vae, max(encoder, transformer)),
        Placement.GROUP_OFFLOAD: (vae, encoder + transformer),
    }[plan.placement]


@given(
    st.lists(st.sampled_from([4, 8, 12, 16, 22, 24, 48, 80]), max_size=8),
    st.integers(1, 3),
    st.integers(0, 4),
    st.floats(4, 400),
)
def test_the_workers_of_a_machine_never_plan_with_more_memory_than_it_has(
    cards: list[int], on_first: int, cpus: int, host: float
) -> None:
    """Each plans when the others may have taken their parts, or nothing yet; one that does not fit takes nothing."""
    gpus = {f"cuda:{number}": size * GB for number, size in enumerate(cards)}
    entries = [*gpus, *([f"cpu*{cpus}"] if cpus else [])] or ["cpu"]
    if gpus:
        entries[0] = f"cuda:0*{on_first}"
    places = share_memory(parse_places(",".join(entries), [find_profile("demo")]), int(host * GB), gpus)
    used = dict.fromkeys(["host", *gpus], 0.0)
    for place in places:
        kind, free = ("cpu", None) if place.device == "cpu" else ("cuda", float(gpus[place.device]))
        try:
            plans = model_plans_at(place, TURBO_AND_BASE[:1], kind, free, host * GB)  # type: ignore[arg-type]
        except OutOfMemory as error:
            assert ("set fewer, in DEVICE" in str(error)) == (len(places) > 1)
            continue
        own, of_host = taken(place, plans[0].memory)
        used["host"] += of_host
        if free is not None:
            used[place.device] += own
    assert used["host"] <= host * GB
    assert all(used[name] <= size for name, size in gpus.items())
