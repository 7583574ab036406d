"""Memory plans: the table of docs/operations.md."""

from __future__ import annotations

import pytest
import torch

from zimage_engine.catalog import DEMO_WEIGHTS
from zimage_engine.device.loading import load_components
from zimage_engine.device.memory import GB, MemoryPlan, PartSize, PartSizes, Placement, part_sizes, plan_memory
from zimage_engine.model.model import ZImageModel
from zimage_engine.types import ImageRequest, OutOfMemory

TURBO = PartSizes(PartSize(4_020_000_000), PartSize(6_155_000_000), PartSize(84_000_000))


@pytest.mark.parametrize(
    ("kind", "device", "host", "placement", "width"),
    [
        ("cuda", 80, 64, Placement.RESIDENT, 2),
        ("cuda", 48, 64, Placement.RESIDENT, 2),
        ("cuda", 24, 32, Placement.RESIDENT, 2),
        ("cuda", 22, 32, Placement.ENCODER_MOVES, 2),
        ("cuda", 16, 32, Placement.ENCODER_ON_CPU, 2),
        ("cuda", 12, 32, Placement.GROUP_OFFLOAD, 2),
        ("cuda", 8, 32, Placement.GROUP_OFFLOAD, 2),
        ("cpu", 64, 64, Placement.RESIDENT, 4),
        ("cpu", 32, 32, Placement.RESIDENT, 2),
        ("mps", 36, 36, Placement.RESIDENT, 2),
    ],
)
def test_the_placement_of_turbo(kind: str, device: int, host: int, placement: Placement, width: int) -> None:
    plan = plan_memory(TURBO, kind, device * GB, host * GB)  # type: ignore[arg-type]
    assert (plan.placement, plan.width) == (placement, width)


@pytest.mark.parametrize(
    ("kind", "device", "host", "sentence"),
    [
        ("cpu", 16, 16, r"needs 6\.9 GB more memory"),
        ("mps", 16, 16, r"needs 6\.9 GB more memory"),
        ("cuda", 16, 8, r"needs 4\.8 GB more host memory"),
        ("cuda", 12, 16, r"needs 5\.2 GB more host memory"),
        ("cuda", 2, 64, r"needs 1\.3 GB more GPU memory"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_is_missing(kind: str, device: int, host: int, sentence: str) -> None:
    with pytest.raises(OutOfMemory, match=sentence):
        plan_memory(TURBO, kind, device * GB, host * GB)  # type: ignore[arg-type]


def test_an_asked_data_type_is_kept() -> None:
    assert plan_memory(TURBO, "cuda", 80 * GB, 64 * GB, width=4).width == 4
    with pytest.raises(OutOfMemory):
        plan_memory(TURBO, "cpu", 32 * GB, 32 * GB, width=4)


def test_sizes_are_read_from_the_headers_alone() -> None:
    sizes = part_sizes(DEMO_WEIGHTS)
    assert sizes.transformer.converted > sizes.vae.converted > sizes.text_encoder.converted > 0
    assert sum(sizes.bytes(2)) < 16_000_000


@pytest.mark.parametrize("placement", list(Placement))
def test_every_placement_draws_the_same_picture(placement: Placement) -> None:
    """Every placement gives the same picture."""
    device = torch.device("cpu")
    ask = ImageRequest("a", "a red circle on a blue background", 256, 256, 2, 1)
    pictures = []
    for where in (Placement.RESIDENT, placement):
        model = ZImageModel(load_components(DEMO_WEIGHTS, device, MemoryPlan(where, 4)), device)
        generation = model.start(ask)
        for _ in range(ask.steps):
            assert model.step([generation]).all()
        pictures.append(model.to_image(generation, model.decode(generation)).data)
    assert pictures[0] == pictures[1]
