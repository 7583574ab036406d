"""The tensors: encode text, denoise one step, decode. One image at a time knows nothing of queues or owners."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch

from zimage_engine.sampling import SigmaSchedule, euler_step, guided, initial_noise, to_raw_image
from zimage_engine.types import ImageRequest, NumericalError, RawImage

_LONGEST_PROMPT = 512
_EMBEDDING_CACHE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Embedding:
    """A prompt as the transformer takes it: ``(tokens, features)``; ``truncated`` where the prompt was longer."""

    states: torch.Tensor
    truncated: bool


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

    def put(self, prompt: str, embedding: Embedding) -> None:
        self._entries[prompt] = embedding
        self._bytes += embedding.states.nbytes
        while self._bytes > self._limit and len(self._entries) > 1:
            _, dropped = self._entries.popitem(last=False)
            self._bytes -= dropped.states.nbytes


@dataclass(slots=True)
class Drawing:
    """One picture in the making: its latents ``(channels, h, w)`` float32 and where it stands."""

    request: ImageRequest
    positive: Embedding
    negative: Embedding | None
    latents: torch.Tensor
    step: int = 0


@dataclass(frozen=True, slots=True)
class Components:
    """A loaded Z-Image model in diffusers' parts. ``scheduler_config`` is the folder's scheduler configuration."""

    tokenizer: Any
    text_encoder: torch.nn.Module
    transformer: torch.nn.Module
    vae: torch.nn.Module
    scheduler_config: dict[str, Any]


class ZImageModel:
    """Diffusers' Z-Image components with the loop taken apart.

    Equal to ``ZImagePipeline`` called for one image with a CPU generator: ±1 of 255 in float32 on the CPU.
    """

    def __init__(self, components: Components, device: torch.device) -> None:
        self._parts = components
        self._device = device
        self._schedule = SigmaSchedule(components.scheduler_config)
        self._embeddings = EmbeddingCache()
        config: Any = components.vae.config
        self._latent_scale = 2 ** (len(config.block_out_channels) - 1)
        self._scaling, self._shift = float(config.scaling_factor), float(config.shift_factor or 0.0)
        self._dtype = next(components.transformer.parameters()).dtype

    @torch.inference_mode()
    def start(self, request: ImageRequest) -> Drawing:
        """Encode the prompt (and the negative prompt where guidance is on) and draw the noise."""
        rows, columns = request.height // self._latent_scale, request.width // self._latent_scale
        channels: Any = self._parts.transformer.in_channels
        return Drawing(
            request=request,
            positive=self._embed(request.prompt),
            negative=self._embed(request.negative_prompt) if request.guidance_scale > 0 else None,
            latents=initial_noise(request.seed, (channels, rows, columns)).to(self._device),
        )

    def _embed(self, prompt: str) -> Embedding:
        found = self._embeddings.get(prompt)
        if found is None:
            found = self._encode(prompt)
            self._embeddings.put(prompt, found)
        return found

    def _encode(self, prompt: str) -> Embedding:
        """The last hidden state but one of the chat-wrapped prompt, unpadded: padding only adds masked positions."""
        tokenizer = self._parts.tokenizer
        chat = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=True
        )
        ids = tokenizer(chat, return_tensors="pt").input_ids
        truncated = ids.shape[1] > _LONGEST_PROMPT
        output = self._parts.text_encoder(
            input_ids=ids[:, :_LONGEST_PROMPT].to(self._device), output_hidden_states=True, use_cache=False
        )
        return Embedding(output.hidden_states[-2][0], truncated)

    @torch.inference_mode()
    def step(self, drawing: Drawing) -> None:
        """One denoising step in place; :class:`NumericalError` where the latents are no longer finite."""
        request = drawing.request
        tokens = (drawing.latents.shape[1] // 2) * (drawing.latents.shape[2] // 2)
        sigmas, times = self._schedule.levels(request.steps, tokens)
        captions = [drawing.positive.states]
        if drawing.negative is not None:
            captions.append(drawing.negative.states)
        model_input = drawing.latents.to(self._dtype).unsqueeze(1)
        time = times[drawing.step].to(self._device).expand(len(captions))
        answers = self._parts.transformer([model_input] * len(captions), time, captions, return_dict=False)[0]
        answer = answers[0].float()
        if drawing.negative is not None:
            answer = guided(answer, answers[1].float(), request.guidance_scale)
        sigma, after = sigmas[drawing.step].to(self._device), sigmas[drawing.step + 1].to(self._device)
        drawing.latents = euler_step(drawing.latents, -answer.squeeze(1), sigma, after)
        drawing.step += 1
        _check_finite(drawing.latents)

    @torch.inference_mode()
    def decode(self, drawing: Drawing) -> RawImage:
        """The finished picture's pixels."""
        vae: Any = self._parts.vae
        latents = drawing.latents.to(vae.dtype)[None] / self._scaling + self._shift
        decoded = vae.decode(latents, return_dict=False)[0][0]
        _check_finite(decoded)
        return to_raw_image(decoded)

    def synchronise(self) -> None:
        """Wait until the device has done what it was given, so that times and cancellation are true."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()


def _check_finite(values: torch.Tensor) -> None:
    if not torch.isfinite(values).all():
        raise NumericalError(
            "The model produced broken numbers for this picture. Try another seed; if it happens again, tell the "
            "operator: the data type may not suit the device."
        )
