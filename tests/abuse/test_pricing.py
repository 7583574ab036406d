"""A credit buys the same work on the device, however it is spent: nobody gets more of it by odd requests."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from bot.jobs.job import JobRequest
from bot.jobs.service import JobService
from bot.requests.models import Models
from bot.requests.pricing import Prices
from bot.requests.spec import ImageOptions, ImageSpec, build_spec
from bot.store.admission import Terms
from bot.store.database import Database
from bot.store.limits import LIMIT_NAMES, Requester
from tests.helpers.cards import NoOutbox, show_card
from tests.helpers.engines import in_thread
from tests.helpers.faults import Faulty
from tests.helpers.toy_worker import Toy
from tests.helpers.waiting import until
from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.loading import load_components
from zimage_engine.device.memory import FULL_WIDTH, MemoryPlan, Placement
from zimage_engine.engine import Engine
from zimage_engine.model.model import ZImageModel
from zimage_engine.prompt_tokens import PromptTokens
from zimage_engine.types import Unit
from zimage_engine.weights import complete_profile

PROFILE = complete_profile(find_profile("demo"))
PRICES = Prices(Models((PROFILE,)), PromptTokens.load(PROFILE))
BASE = ImageSpec("a red circle on a blue background", 256, 256, 7, 8, 0.0, "", PROFILE.title)
LONG = "a red circle on a blue background, " * 114
CANCELS = 25


@dataclass(frozen=True)
class Device:
    """The demo model; counts the FLOP of what it does for a request."""

    model: ZImageModel

    def flop(self, spec: ImageSpec, *, edit: bool) -> float:
        """Run each kind of unit once, and count its FLOP as often as the request has it."""
        request = spec.request("one")
        if edit:
            request = replace(request, original=_png(spec.width, spec.height))
        with self._counted() as text:
            generation = self.model.start(request)
        with self._counted() as image:
            if edit:
                self.model.read_image(generation)
        with self._counted() as step:
            self.model.step([generation])
        with self._counted() as decode:
            self.model.to_image(generation, self.model.decode(generation))
        once = sum(counter.get_total_flops() for counter in (text, image, decode))
        return once + request.real_steps * step.get_total_flops()

    def _counted(self) -> Any:
        self.model.forget_caches()
        return FlopCounterMode(display=False)


ATTACKS: dict[str, tuple[dict[str, Any], bool, float]] = {
    "64² with 4,000 characters": ({"width": 64, "height": 64, "prompt": LONG[:4000]}, False, 2.45),
    "64² with 4,000 tokens": ({"width": 64, "height": 64, "prompt": "漢" * 4000}, False, 2.45),
    "64² at 20 steps": ({"width": 64, "height": 64, "steps": 20}, False, 0.73),
    "64² at 1 step": ({"width": 64, "height": 64, "steps": 1}, False, 0.074),
    "a small edit": ({"width": 64, "height": 64, "strength": 0.05}, True, 0.085),
    "an edit, 4,000 characters": ({"width": 64, "height": 64, "strength": 0.05, "prompt": LONG[:4000]}, True, 0.42),
    "512² at 20 steps": ({"width": 512, "height": 512, "steps": 20}, False, 5.42),
    "an edit of 512² in 1 step": ({"width": 512, "height": 512, "steps": 1}, True, 3.19),
}
"""What differs from the base, whether it is an edit, and its work on the device relative to the base's."""


@pytest.mark.parametrize(("changes", "edit", "work"), ATTACKS.values(), ids=ATTACKS)
def test_a_credit_buys_half_to_twice_the_work_of_the_base(changes: dict[str, Any], edit: bool, work: float) -> None:  # noqa: FBT001
    price = PRICES.quote(replace(BASE, **changes), 1, edit=edit)
    assert 0.5 <= work / (price / 100) <= 2


@pytest.mark.system  # torch counts every operation of the real model: 10 s
def test_the_work_of_these_requests_is_what_the_model_does() -> None:
    components = load_components(DEMO_WEIGHTS, torch.device("cpu"), MemoryPlan(Placement.RESIDENT, FULL_WIDTH))
    components.text_encoder.set_attn_implementation("eager")  # torch's counter cannot count grouped heads
    device = Device(ZImageModel(components, torch.device("cpu")))
    base = device.flop(BASE, edit=False)
    counted = {name: device.flop(replace(BASE, **each[0]), edit=each[1]) / base for name, each in ATTACKS.items()}
    assert counted == pytest.approx({name: work for name, (_, _, work) in ATTACKS.items()}, rel=0.05)


def _png(width: int, height: int) -> bytes:
    file = BytesIO()
    Image.effect_noise((width, height), 90).convert("RGB").save(file, "PNG")
    return file.getvalue()


async def test_25_cancels_while_the_text_is_encoded_are_charged(database: Database, tmp_path: Path) -> None:
    encoding, go_on = threading.Event(), threading.Event()
    toy = Faulty(Toy(tmp_path), Unit.ENCODE_TEXT, gate=go_on, entered=encoding)
    engine = Engine.start(EngineConfig(PROFILE, "cpu"), in_thread(lambda: toy))
    unlimited: Any = dict.fromkeys(LIMIT_NAMES)
    jobs = JobService(database, engine, NoOutbox(), tmp_path / "images", Terms(unlimited, unlimited))
    await jobs.start()
    jobs.deliveries.start()
    for number in range(CANCELS):
        spec, count = build_spec(ImageOptions(f"a red circle {number}"), PROFILE, max_count=1)
        request = JobRequest(number + 1, spec, count, Requester(5, 6, 6), 7, "public", None)
        job = await jobs.run(request, show_card)
        assert job is not None
        await asyncio.to_thread(encoding.wait, 30)
        active = await jobs.cancellation.cancel(job.id)
        go_on.set()
        await until(active.ended.is_set)
        encoding.clear()
        go_on.clear()
    await engine.close()
    settled = await database.query("SELECT credits FROM ledger WHERE entry = 'settled'")
    assert [row["credits"] for row in settled] == [2] * CANCELS
    assert engine.stats().finished == 0
