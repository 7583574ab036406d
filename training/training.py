"""Shared by both trainings: a learning-rate schedule, averaged weights and checkpoints."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import nn

WORK = Path("build/demo-model")
"""The folder of the checkpoints; the recipe is run from the project's root."""

ModuleT = TypeVar("ModuleT", bound=nn.Module)
_SAVE_EVERY_SECONDS = 120.0


def learning_rate(step: int, progress: float, *, peak: float, warm_up: int, decay_from: float) -> float:
    """Return the rate: linear warm-up, a plateau, and from ``decay_from`` on a linear decay to 2 % of the peak."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * min(1.0, max(0.02, (1 - progress) / (1 - decay_from)))


def pick_device() -> torch.device:
    """Return the GPU, if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass
class Trainer(Generic[ModuleT]):
    """A module with its optimizer, the average of its weights (EMA) and its checkpoint.

    The EMA's decay is ``min(ema_decay, (1 + step) ÷ (10 + step))``, so that early steps are forgotten. With ``minutes``
    the training ends and the learning rate decays by the clock, if that is sooner than by the steps.
    """

    name: str
    module: ModuleT
    total: int
    peak: float
    warm_up: int = 200
    decay_from: float = 0.6
    ema_decay: float = 0.999
    minutes: float | None = None
    step: int = 0
    optimizer: torch.optim.Optimizer = field(init=False)
    average: dict[str, torch.Tensor] = field(init=False)
    _began: float = field(default_factory=time.monotonic, init=False)
    _saved_at: float = field(default_factory=time.monotonic, init=False)

    def __post_init__(self) -> None:
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, lr=self.peak, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        self.average = {key: value.detach().clone() for key, value in self.module.state_dict().items()}

    def start(self) -> None:
        """Start the clock of ``minutes``, after the preparations."""
        self._began = time.monotonic()

    @property
    def progress(self) -> float:
        """The share of the training that is done, 0 … 1."""
        done = self.step / self.total
        return done if self.minutes is None else max(done, (time.monotonic() - self._began) / (60 * self.minutes))

    @property
    def over(self) -> bool:
        return self.progress >= 1

    @staticmethod
    def checkpoint(name: str) -> Path:
        return WORK / f"{name}.pt"

    @property
    def path(self) -> Path:
        return self.checkpoint(self.name)

    def resume(self) -> None:
        """Continue from the checkpoint, if there is one."""
        if not self.path.exists():
            return
        state = torch.load(self.path, weights_only=True, map_location=pick_device())
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step = state["average"], state["step"]
        log(f"{self.name}: going on from step {self.step}")

    def save(self) -> None:
        """Write the checkpoint to another file and rename it, so that a kill leaves the old one intact."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.step,
        }
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.path)
        self._saved_at = time.monotonic()

    def update(self, loss: torch.Tensor) -> None:
        """Do one optimizer step on the loss."""
        rate = learning_rate(self.step, self.progress, peak=self.peak, warm_up=self.warm_up, decay_from=self.decay_from)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        keep = min(self.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.module.state_dict().values()), 1 - keep)

    def report(self, losses: list[torch.Tensor], every: int = 50) -> None:
        """Log the mean of the last losses, ``(parts,)`` each, every ``every`` steps, and save every two minutes.

        Raises :class:`SystemExit` if a loss is not finite; the last checkpoint stays.
        """
        if self.step % every:
            return
        shown = torch.stack(losses[-every:]).mean(dim=0).tolist()
        if not all(map(math.isfinite, shown)):
            raise SystemExit(f"{self.name}: a loss is not finite before step {self.step}; lower the learning rate.")
        pace = (time.monotonic() - self._began) / len(losses)
        values = ", ".join(f"{value:.4f}" for value in shown)
        log(f"{self.name}: step {self.step}/{self.total}, loss {values}, {pace:.3f} s a step")
        if time.monotonic() - self._saved_at > _SAVE_EVERY_SECONDS:
            self.save()


def averaged(name: str, module: ModuleT) -> ModuleT:
    """Load the averaged weights of a training into the module. Raises :class:`SystemExit` if there are none."""
    path = Trainer.checkpoint(name)
    if not path.exists():
        raise SystemExit(f"{path} is missing: run `python -m training.{name}` first.")
    module.load_state_dict(torch.load(path, weights_only=True, map_location="cpu")["average"])
    return module.eval()


def log(message: str) -> None:
    """Write a line with the time of day to the screen and to the log in the work folder."""
    line = f"{time.strftime('%H:%M:%S')} {message}"
    print(line, file=sys.stdout, flush=True)
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "training.log").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
