"""The caption branch of the transformer, computed once a prompt instead of once a step.

``cap_embedder`` and ``context_refiner`` see the caption alone: neither the time nor the picture. The first forward
with a prompt keeps what they answer; later ones run in a shallow view of the transformer in which the two modules
hand it out again. The rest of the view is the transformer itself, and the result is bit-equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from zimage_engine.queue import padded


@dataclass(slots=True)
class Embedding:
    """A prompt as the transformer takes it: ``(tokens, features)``; ``truncated`` where the prompt was longer.

    ``refined`` is what the caption branch made of it, ``(padded tokens, width)``, once that is known.
    """

    states: torch.Tensor
    truncated: bool
    refined: torch.Tensor | None = None

    @property
    def tokens(self) -> int:
        return self.states.shape[0]


class _Blank(nn.Module):
    """In the place of ``cap_embedder``: the right shape, since what follows is replaced as well."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return states.new_zeros(states.shape[0], self._width)


class _Replay(nn.Module):
    """In the place of ``context_refiner``: what it answered before."""

    refined: torch.Tensor

    def forward(self, *_: Any) -> torch.Tensor:
        return self.refined


class Transformer:
    """The transformer as the engine calls it. With ``replay`` off every forward runs the caption branch."""

    def __init__(self, transformer: Any, *, replay: bool) -> None:
        self._whole = transformer
        # Hooks that wrap the whole forward (offloading) are bound to the original, so a view would not be one.
        self._replays = replay and "forward" not in vars(transformer)
        self._replay = _Replay()
        self._view = copy(transformer)
        vars(self._view)["_modules"] = dict(transformer.named_children())
        self._view.cap_embedder = _Blank(transformer.config.dim)
        self._view.context_refiner = nn.ModuleList([self._replay])

    def __call__(
        self, latents: list[torch.Tensor], time: torch.Tensor, prompts: Sequence[Embedding]
    ) -> list[torch.Tensor]:
        """``(channels, 1, h, w)`` latents at time ``1 − σ`` each → the transformer's answers in the same shape."""
        states = [prompt.states for prompt in prompts]
        known = [prompt.refined for prompt in prompts if prompt.refined is not None]
        if self._replays and len(known) == len(prompts):
            self._replay.refined = pad_sequence(known, batch_first=True)
            answers: list[torch.Tensor] = self._view(latents, time, states, return_dict=False)[0]
            return answers
        return self._whole_forward(latents, time, prompts, states)

    def _whole_forward(
        self,
        latents: list[torch.Tensor],
        time: torch.Tensor,
        prompts: Sequence[Embedding],
        states: list[torch.Tensor],
    ) -> list[torch.Tensor]:
        kept: list[torch.Tensor] = []
        hook = self._whole.context_refiner[-1].register_forward_hook(lambda _, __, output: kept.append(output))
        try:
            answers: list[torch.Tensor] = self._whole(latents, time, states, return_dict=False)[0]
        finally:
            hook.remove()
        for prompt, refined in zip(prompts, kept[0] if kept else (), strict=True):
            prompt.refined = refined[: padded(prompt.tokens)].clone()
        return answers
