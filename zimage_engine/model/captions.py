"""The caption branch of the transformer, computed once a prompt instead of once a step.

``cap_embedder`` and ``context_refiner`` see the caption alone: neither the time nor the picture. The first forward
with a prompt keeps what they answer; later ones run in a shallow view of the transformer in which the two modules
hand it out again. The rest of the view is the transformer itself, and the result is bit-equal.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from zimage_engine.scheduling.tokens import padded

_EMBEDDING_CACHE_BYTES = 256 * 2**20


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


class EmbeddingCache:
    """Embeddings by prompt, least recently used first out, bounded by bytes."""

    def __init__(self, limit: int = _EMBEDDING_CACHE_BYTES) -> None:
        self._limit = limit
        self._bytes = 0
        self._entries: OrderedDict[str, Embedding] = OrderedDict()

    def get(self, prompt: str) -> Embedding | None:
        found = self._entries.get(prompt)
        if found is not None:
            self._entries.move_to_end(prompt)
        return found

    def clear(self) -> None:
        self._entries.clear()
        self._bytes = 0

    def put(self, prompt: str, embedding: Embedding) -> None:
        self._entries[prompt] = embedding
        self._bytes += self._size(embedding)
        while self._bytes > self._limit and len(self._entries) > 1:
            _, dropped = self._entries.popitem(last=False)
            self._bytes -= self._size(dropped)

    @staticmethod
    def _size(embedding: Embedding) -> int:
        """What the caption branch adds later is about half as wide again."""
        return embedding.states.nbytes * 5 // 2


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
    """The transformer as the engine calls it. With ``replay`` off every forward runs the caption branch.

    Without ``masks`` captions that pad to different lengths go in forwards of their own: only they need a mask.
    """

    def __init__(self, transformer: Any, *, replay: bool, masks: bool = True) -> None:
        self._whole = transformer
        self._masks = masks
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
        kinds = [self._kind(prompt) for prompt in prompts]
        if len(set(kinds)) == 1:
            return self._forward(latents, time, prompts)
        answers: dict[int, torch.Tensor] = {}
        for kind in set(kinds):
            alike = [i for i, other in enumerate(kinds) if other == kind]
            some = self._forward([latents[i] for i in alike], time[alike], [prompts[i] for i in alike])
            answers |= zip(alike, some, strict=True)
        return [answers[i] for i in range(len(prompts))]

    def _kind(self, prompt: Embedding) -> Hashable:
        """What has to be the same of all that go in one forward."""
        return None if self._masks else padded(prompt.tokens)

    def _forward(
        self, latents: list[torch.Tensor], time: torch.Tensor, prompts: Sequence[Embedding]
    ) -> list[torch.Tensor]:
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
