"""Computes the transformer's caption branch once a prompt instead of once a step.

The inputs of ``cap_embedder`` and ``context_refiner`` are the caption alone, neither the time nor the image. The first
forward with a prompt stores their output. Later ones run in a shallow copy of the transformer in which these two
modules return the stored output; all other modules are shared, and the result is bit-equal.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from zimage_engine.scheduling.known_prompts import EMBEDDINGS_MAX, TextKey, text_key
from zimage_engine.scheduling.tokens import padded

_EMBEDDING_CACHE_BYTES = 256 * 2**20


@dataclass(slots=True)
class Embedding:
    """An encoded prompt: ``states`` is ``(tokens, features)``; ``truncated`` is True if the prompt was longer.

    ``refined`` is the output of a transformer's caption branch, ``(padded tokens, width)``, from its first forward on
    and as long as it exists: models with the same text encoder share embeddings.
    """

    states: torch.Tensor
    truncated: bool
    refined: WeakKeyDictionary[Transformer, torch.Tensor] = field(default_factory=WeakKeyDictionary)

    @property
    def tokens(self) -> int:
        return self.states.shape[0]

    @property
    def last_position(self) -> int:
        """The highest position on the first axis: the image's, which follows those of the padded caption, from 1 on."""
        return padded(self.tokens) + 1


class EmbeddingCache:
    """Embeddings by scope and prompt; the least recently used are dropped beyond ``limit`` bytes or ``count`` entries.

    A scope is an opaque name of whoever asked for the prompt: nobody can tell from the time that a picture takes what
    others have asked for, and a scope can be forgotten. Prompts are kept as digests. ``transformers`` is how many may
    store what their caption branches make of an embedding.
    """

    def __init__(self, limit: int = _EMBEDDING_CACHE_BYTES, count: int = EMBEDDINGS_MAX, transformers: int = 1) -> None:
        self._limit = limit
        self._count = count
        self._transformers = transformers
        self._bytes = 0
        self._entries: OrderedDict[TextKey, Embedding] = OrderedDict()

    def get(self, scope: str, prompt: str) -> Embedding | None:
        key = text_key(scope, prompt)
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, scope: str, prompt: str, embedding: Embedding) -> None:
        key = text_key(scope, prompt)
        self._drop(key)
        self._entries[key] = embedding
        self._bytes += self._size(embedding)
        while len(self._entries) > max(1, self._count) or (self._bytes > self._limit and len(self._entries) > 1):
            self._drop(next(iter(self._entries)))

    def forget(self, scope: str) -> None:
        """Drop all embeddings of a scope."""
        for key in [key for key in self._entries if key[0] == scope]:
            self._drop(key)

    def clear(self) -> None:
        self._entries.clear()
        self._bytes = 0

    def _drop(self, key: TextKey) -> None:
        dropped = self._entries.pop(key, None)
        if dropped is not None:
            self._bytes -= self._size(dropped)

    def _size(self, embedding: Embedding) -> int:
        """Return the bytes of an embedding with ``refined``, which is set later and about 1.5 times as wide."""
        return embedding.states.nbytes * (2 + 3 * self._transformers) // 2


class _Blank(nn.Module):
    """Replaces ``cap_embedder``: returns zeros of its shape, since the module after it is replaced as well."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return states.new_zeros(states.shape[0], self._width)


class _Replay(nn.Module):
    """Replaces ``context_refiner``: returns its stored output."""

    refined: torch.Tensor

    def forward(self, *_: Any) -> torch.Tensor:
        return self.refined


class Transformer:
    """The transformer as the engine calls it. Without ``replay`` every forward runs the caption branch.

    Without ``masks`` captions of different padded lengths go into separate forwards, since only mixed ones need a mask.
    """

    def __init__(self, transformer: Any, *, replay: bool, masks: bool = True) -> None:
        self._whole = transformer
        self._masks = masks
        # Offloading replaces ``forward`` on the instance, bound to the original, so a copy would run the original.
        self._replays = replay and "forward" not in vars(transformer)
        self._replay = _Replay()
        self._view = copy(transformer)
        vars(self._view)["_modules"] = dict(transformer.named_children())
        self._view.cap_embedder = _Blank(transformer.config.dim)
        self._view.context_refiner = nn.ModuleList([self._replay])

    def __call__(
        self, latents: list[torch.Tensor], time: torch.Tensor, prompts: Sequence[Embedding]
    ) -> list[torch.Tensor]:
        """Run the transformer on ``(channels, 1, h, w)`` latents at time ``1 − σ`` each; returns the same shape."""
        keys = [self._group_key(prompt) for prompt in prompts]
        if len(set(keys)) == 1:
            return self._forward(latents, time, prompts)
        outputs: dict[int, torch.Tensor] = {}
        for key in set(keys):
            group = [i for i, other in enumerate(keys) if other == key]
            times = torch.stack([time[i] for i in group])  # unlike time[group], copies no index to the device
            group_outputs = self._forward([latents[i] for i in group], times, [prompts[i] for i in group])
            outputs |= zip(group, group_outputs, strict=True)
        return [outputs[i] for i in range(len(prompts))]

    def _group_key(self, prompt: Embedding) -> Hashable:
        """Return what must be equal for prompts that share a forward."""
        return None if self._masks else padded(prompt.tokens)

    def _forward(
        self, latents: list[torch.Tensor], time: torch.Tensor, prompts: Sequence[Embedding]
    ) -> list[torch.Tensor]:
        states = [prompt.states for prompt in prompts]
        stored = [prompt.refined[self] for prompt in prompts if self in prompt.refined]
        if self._replays and len(stored) == len(prompts):
            self._replay.refined = pad_sequence(stored, batch_first=True)
            outputs: list[torch.Tensor] = self._view(latents, time, states, return_dict=False)[0]
            return outputs
        return self._whole_forward(latents, time, prompts, states)

    def _whole_forward(
        self,
        latents: list[torch.Tensor],
        time: torch.Tensor,
        prompts: Sequence[Embedding],
        states: list[torch.Tensor],
    ) -> list[torch.Tensor]:
        """Run the transformer with the caption branch, and store the branch's output in the prompts."""
        captured: list[torch.Tensor] = []
        hook = self._whole.context_refiner[-1].register_forward_hook(lambda _, __, output: captured.append(output))
        try:
            outputs: list[torch.Tensor] = self._whole(latents, time, states, return_dict=False)[0]
        finally:
            hook.remove()
        for prompt, refined in zip(prompts, captured[0] if captured else (), strict=True):
            prompt.refined[self] = refined[: padded(prompt.tokens)].clone()
        return outputs
