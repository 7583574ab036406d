"""What a credit buys in seconds on the device: ``python -m benchmarks.pricing``.

Measures sizes × steps × lengths of the prompt × kinds of requests with the demo model on one core. The seconds are
those of the processor, so that other programs on the machine do not count. Each unit is run in turn with one of the
base, and its ratio to that is the median of the rounds; a request's seconds are the sum over its units. A ratio of 1
means that a credit buys as many seconds as with the base; most lie between ½ and 2.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from bot.requests.models import Models
from bot.requests.pricing import Prices
from bot.requests.spec import ImageSpec
from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.device.loading import load_components
from zimage_engine.device.memory import FULL_WIDTH, MemoryPlan, Placement
from zimage_engine.model.generation import Generation
from zimage_engine.model.model import ZImageModel
from zimage_engine.pixels import to_png
from zimage_engine.prompt_tokens import PromptTokens
from zimage_engine.weights import complete_profile

Kind = Literal["imagine", "edit", "guidance", "count"]

OUT = Path("build/pricing.json")
SIDES, STEPS, TOKENS = (64, 256, 512), (1, 8, 20), (15, 128, 512)
KINDS: tuple[Kind, ...] = ("imagine", "edit", "guidance", "count")
COUNT = 4
STRENGTH = 0.6
LOW, HIGH = 0.5, 2.0

_NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True)
class Shape:
    """What the seconds of a request's units depend on: the side of a square picture, the prompt's tokens, the kind."""

    side: int
    tokens: int
    kind: Kind = "imagine"

    @property
    def count(self) -> int:
        return COUNT if self.kind == "count" else 1

    def spec(self, steps: int, prompts: PromptTokens) -> ImageSpec:
        """Return a spec whose prompt was not used before, so that it is encoded."""
        guided = self.kind == "guidance"
        return ImageSpec(
            prompt=_prompt(self.tokens, prompts),
            width=self.side,
            height=self.side,
            seed=7,
            steps=steps,
            guidance_scale=4.0 if guided else 0.0,
            negative_prompt=_prompt(self.tokens, prompts) if guided else "",
            model=find_profile("demo").title,
            strength=STRENGTH if self.kind == "edit" else 1.0,
        )


@dataclass(frozen=True, slots=True)
class Seconds:
    """The seconds of a request's units; the first step also runs the transformer's branch for the caption."""

    around: float
    first_step: float
    step: float

    def of(self, steps: int) -> float:
        """Return the seconds of a request of so many steps."""
        return self.around + self.first_step + (steps - 1) * self.step


@dataclass(frozen=True, slots=True)
class Row:
    """A request, its price in 1/100 credit, and the seconds for each credit relative to the base."""

    shape: Shape
    steps: int
    price: int
    ratio: float

    @property
    def ok(self) -> bool:
        return LOW <= self.ratio <= HIGH


class Bench:
    """Runs units of the demo model on one core."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        profile = complete_profile(find_profile("demo"))
        plan = MemoryPlan(Placement.RESIDENT, FULL_WIDTH)
        self._model = ZImageModel(load_components(DEMO_WEIGHTS, torch.device("cpu"), plan), torch.device("cpu"))
        self._prompts = PromptTokens.load(profile)
        self._prices = Prices(Models((profile,)), self._prompts)
        self._base = Shape(profile.base_side, TOKENS[1])
        self._base_steps = int(profile.steps.default)

    def measure(self, shape: Shape, rounds: int) -> list[Row]:
        """Measure a shape, each time after the base; returns a row for each number of steps."""
        self._seconds(shape)  # the first run of a shape also prepares kernels and memory
        pairs = [(self._seconds(self._base).of(self._base_steps), self._seconds(shape)) for _ in range(rounds)]
        rows = []
        for steps in STEPS:
            spec, edit = shape.spec(steps, self._prompts), shape.kind == "edit"
            price = self._prices.quote(spec, shape.count, edit=edit)
            times = [seconds.of(spec.steps_run(edit=edit)) / base for base, seconds in pairs]
            rows.append(Row(shape, steps, price, statistics.median(times) / (price / 100)))
        return rows

    def _seconds(self, shape: Shape) -> Seconds:
        """Run each unit of a request once, and a second step."""
        model, spec = self._model, shape.spec(8, self._prompts)
        requests = [spec.image(position).request(str(position)) for position in range(shape.count)]
        if shape.kind == "edit":
            requests = [replace(request, original=_original(shape.side)) for request in requests]
        generations: list[Generation] = []
        around = _timed(lambda: generations.extend(model.start(request) for request in requests))
        if shape.kind == "edit":
            around += _timed(lambda: [model.read_image(generation) for generation in generations])
        first_step = _timed(lambda: model.step(generations))
        step = _timed(lambda: model.step(generations))
        around += _timed(lambda: [model.to_image(each, model.decode(each)) for each in generations])
        return Seconds(around, first_step, step)


def show(rows: list[Row], console: Console) -> None:
    """Print each row, then the range of the ratios by kind as lines of docs/limits.md."""
    table = Table(title=f"Seconds for each credit, relative to the base; load {os.getloadavg()[0]:.0f}")
    for heading in ("request", "side", "steps", "tokens", "credits", "ratio", "ok"):
        table.add_column(heading, justify="left" if heading == "request" else "right")
    for row in rows:
        numbers = (row.shape.side, row.steps, row.shape.tokens, f"{row.price / 100:.2f}", f"{row.ratio:.2f}")
        table.add_row(row.shape.kind, *map(str, numbers), "yes" if row.ok else "NO")
    console.print(table)
    for kind in KINDS:
        ratios = [row.ratio for row in rows if row.shape.kind == kind]
        console.print(f"| {kind} | {min(ratios):.2f} | {statistics.median(ratios):.2f} | {max(ratios):.2f} |")


def _timed(action: Callable[[], object]) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began


def _prompt(tokens: int, prompts: PromptTokens) -> str:
    """Return a new prompt of as many tokens, or of one more."""
    text = f"a {next(_NUMBERS)}"
    while prompts.count(text) < tokens:
        text += " circle"
    return text


def _original(side: int) -> bytes:
    noise = np.random.default_rng(7).integers(0, 256, (side, side, 3), np.uint8)
    return to_png(Image.fromarray(noise))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5, help="rounds whose median is shown")
    options.add_argument("--out", type=Path, default=OUT)
    chosen = options.parse_args()
    console, bench, rows = Console(), Bench(), list[Row]()
    for kind, side, tokens in itertools.product(KINDS, SIDES, TOKENS):
        measured = bench.measure(Shape(side, tokens, kind), chosen.rounds)
        ratios = ", ".join(f"{row.ratio:.2f} with {row.steps} steps" for row in measured)
        console.print(f"{kind} {side}², {tokens} tokens: {ratios}")
        rows += measured
    show(rows, console)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    listed = [asdict(row) | {"ok": row.ok} for row in rows]
    chosen.out.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {chosen.out}")


if __name__ == "__main__":
    main()
