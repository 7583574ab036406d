"""The tensors: encode text, denoise one step for a batch, decode. It knows nothing of queues or owners."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from zimage_engine.device.memory import Placement
from zimage_engine.model.captions import Embedding, EmbeddingCache, Transformer
from zimage_engine.model.omni import Omni, OmniTransformer, Vision
from zimage_engine.model.sampling import (
    SigmaSchedule,
    add_noise,
    composite,
    euler_step,
    from_raw_image,
    grow_mask,
    guided,
    initial_noise,
    latent_mask,
    to_raw_image,
)
from zimage_engine.profiles import Size
from zimage_engine.scheduling.tokens import TOKEN_MULTIPLE, padded
from zimage_engine.types import ImageRequest, NumericalError, RawImage

log = logging.getLogger(__name__)

_LONGEST_PROMPT = 512


@dataclass(slots=True)
class Generation:
    """One picture in the making: its latents ``(channels, h, w)`` float32 and where it stands.

    ``expected`` are the clean latents that the last step was heading for, where previews are wanted, and
    ``preview_allowance`` the seconds that the next one may take.
    """

    request: ImageRequest
    positive: Embedding
    negative: Embedding | None
    latents: torch.Tensor
    step: int = 0
    original: Original | None = None
    expected: torch.Tensor | None = None
    preview_allowance: float = 0.0


@dataclass(frozen=True, slots=True)
class Original:
    """What an inpainting keeps outside its mask: clean latents, their noise, and 1 where it repaints."""

    clean: torch.Tensor
    noise: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True, slots=True)
class Components:
    """A loaded Z-Image model in diffusers' parts. ``scheduler_config`` is the folder's scheduler configuration.

    Without ``masks`` the transformer is never given an attention mask. With ``vision`` it runs in omni mode: images
    are changed by instruction.
    """

    tokenizer: Any
    text_encoder: torch.nn.Module
    transformer: torch.nn.Module
    vae: torch.nn.Module
    scheduler_config: dict[str, Any]
    placement: Placement = Placement.RESIDENT
    masks: bool = True
    vision: Vision | None = None


class ZImageModel:
    """Diffusers' Z-Image components with the loop taken apart.

    Equal to ``ZImagePipeline`` (in omni mode to ``ZImageOmniPipeline``) called for one image with a CPU generator: ±1
    of 255 in float32 on the CPU.
    """

    def __init__(self, components: Components, device: torch.device) -> None:
        self.parts = components
        self._device = device
        self._schedule = SigmaSchedule(components.scheduler_config)
        self._embeddings = EmbeddingCache()
        config: Any = components.vae.config
        self._latent_scale = 2 ** (len(config.block_out_channels) - 1)
        self._scaling, self._shift = float(config.scaling_factor), float(config.shift_factor or 0.0)
        self._dtype = next(components.transformer.parameters()).dtype
        replay = components.placement is not Placement.GROUP_OFFLOAD
        self.transformer = Transformer(components.transformer, replay=replay, masks=components.masks)
        self._omni: Omni | None = None
        if components.vision is not None:
            self.transformer = OmniTransformer(components.transformer, masks=components.masks)
            self._omni = Omni(components.vision, components.vae, device, self._dtype)

    @torch.inference_mode()
    def start(self, request: ImageRequest) -> Generation:
        """Encode the prompt (and the negative prompt where guidance is on) and draw the noise.

        Where an image is to be changed, :meth:`read_image` comes next and, but for omni mode, replaces the noise.
        """
        rows, columns = request.height // self._latent_scale, request.width // self._latent_scale
        channels: Any = self.parts.transformer.in_channels
        return Generation(
            request=request,
            positive=self._read_prompt(request, request.prompt),
            negative=self._read_prompt(request, request.negative_prompt) if request.guidance_scale > 0 else None,
            latents=initial_noise(request.seed, (channels, rows, columns)).to(self._device),
        )

    @torch.inference_mode()
    def read_image(self, generation: Generation) -> None:
        """Encode the request's image and noise it up to where its strength begins; in omni mode, show it.

        As diffusers' pipelines do it, the posterior's noise is drawn first and then the latents', from one generator;
        latents are in the embeddings' dtype until the first step.
        """
        request = generation.request
        assert request.image is not None
        if self._omni is not None:
            self._omni.show(request.image, [generation.positive, generation.negative])
            return
        vae, dtype = self.parts.vae, generation.positive.states.dtype
        generator = torch.Generator("cpu").manual_seed(request.seed)
        pixels = from_raw_image(request.image).to(self._device, dtype)
        encode: Any = vae.encode
        clean = (encode(pixels[None]).latent_dist.sample(generator)[0] - self._shift) * self._scaling
        noise = torch.randn((1, *clean.shape), generator=generator, dtype=dtype)[0].to(self._device)
        generation.step = request.first_step
        sigma = self._levels(generation)[0][generation.step].to(self._device, dtype)
        generation.latents = add_noise(clean, noise, sigma)
        if request.mask is not None:
            to_cells = grow_mask if request.keep_outside else latent_mask
            mask = to_cells(request.mask, request.width, request.height, self._latent_scale)
            generation.original = Original(clean, noise, mask.to(self._device, dtype))

    def tokens(self, size: Size) -> int:
        """Tokens of one sample's forward with a short prompt, padding included."""
        scale = self._latent_scale * 2
        return padded(size.width // scale * (size.height // scale)) + TOKEN_MULTIPLE

    @torch.inference_mode()
    def encode_anew(self, prompt: str) -> None:
        """Run the text encoder, whatever is cached: to measure it."""
        self._encode(prompt)
        self.synchronise()

    def _read_prompt(self, request: ImageRequest, prompt: str) -> Embedding:
        return self._embed(prompt) if self._omni is None else self._omni.instruction(request, prompt, self._embed)

    def _embed(self, prompt: str) -> Embedding:
        found = self._embeddings.get(prompt)
        if found is None:
            found = self._encode(prompt)
            self._embeddings.put(prompt, found)
        return found

    def _encode(self, prompt: str) -> Embedding:
        """The last hidden state but one of the chat-wrapped prompt, unpadded: padding only adds masked positions."""
        tokenizer, chat = self.parts.tokenizer, prompt
        if self._omni is None:  # which wraps what it has encoded
            chat = tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=True
            )
        ids = tokenizer(chat, return_tensors="pt").input_ids
        truncated = ids.shape[1] > _LONGEST_PROMPT
        encoder = self.parts.text_encoder
        moves = self.parts.placement is Placement.ENCODER_MOVES
        try:
            if moves:
                encoder.to(self._device)
            where = next(encoder.parameters()).device
            output = encoder(input_ids=ids[:, :_LONGEST_PROMPT].to(where), output_hidden_states=True, use_cache=False)
            return Embedding(output.hidden_states[-2][0].to(self._device), truncated)
        finally:
            if moves:
                encoder.to("cpu")

    @torch.inference_mode()
    def step(self, generations: Sequence[Generation]) -> dict[str, NumericalError]:
        """One denoising step of drawings of one size, in one forward; they may stand at different steps.

        They change together at the end or, where something is raised, not at all. Who has values that are no
        longer finite is named in the answer.
        """
        inputs: list[torch.Tensor] = []
        captions: list[Embedding] = []
        times: list[torch.Tensor] = []
        for generation in generations:
            prompts = (
                [generation.positive] if generation.negative is None else [generation.positive, generation.negative]
            )
            inputs += [generation.latents.to(self._dtype).unsqueeze(1)] * len(prompts)
            captions += prompts
            times += [self._levels(generation)[1][generation.step]] * len(prompts)
        time = torch.stack(times).to(self._device)
        answers = iter(self.transformer(inputs, time, captions))
        stepped = [self._stepped(generation, answers) for generation in generations]
        finite = torch.stack([torch.isfinite(latents).all() for latents in stepped]).tolist()
        for generation, latents in zip(generations, stepped, strict=True):
            generation.latents = latents
            generation.step += 1
        pairs = zip(generations, finite, strict=True)
        return {generation.request.id: broken_numbers() for generation, sound in pairs if not sound}

    def _levels(self, generation: Generation) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = (generation.latents.shape[1] // 2) * (generation.latents.shape[2] // 2)
        return self._schedule.levels(generation.request.steps, tokens)

    def _stepped(self, generation: Generation, answers: Iterator[torch.Tensor]) -> torch.Tensor:
        """The drawing's latents after its step, from the transformer's answer for it (and its negative prompt)."""
        answer = next(answers).float()
        if generation.negative is not None:
            answer = guided(answer, next(answers).float(), generation.request.guidance_scale)
        sigmas = self._levels(generation)[0].to(self._device)
        after = sigmas[generation.step + 1]
        latents = euler_step(generation.latents, -answer.squeeze(1), sigmas[generation.step], after)
        if generation.request.previews:
            generation.expected = latents + after * answer.squeeze(1)
        if generation.original is not None:
            kept = add_noise(generation.original.clean, generation.original.noise, after)
            latents = (1 - generation.original.mask) * kept + generation.original.mask * latents
        return latents

    @torch.inference_mode()
    def decode(self, generation: Generation) -> RawImage:
        """The finished picture's pixels, with the original's put back where the request wants them kept."""
        request, original = generation.request, generation.original
        vae: Any = self.parts.vae
        latents = generation.latents.to(vae.dtype)[None] / self._scaling + self._shift
        decoded = self._decode(vae, latents)
        if not torch.isfinite(decoded).all() and vae.dtype != torch.float32:
            # Half precision overflows in some decoders; the latents are sound, so they get a second chance.
            decoded = self._decode_in_full(vae, latents)
        if not torch.isfinite(decoded).all():
            raise broken_numbers()
        drawn = to_raw_image(decoded)
        if request.image is not None and original is not None and request.keep_outside:
            return composite(drawn, request.image, original.mask)
        return drawn

    def _decode(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        """Pixels ``(3, height, width)``; in tiles, with seams that are blended, where memory is too small for all."""
        try:
            whole: torch.Tensor = vae.decode(latents, return_dict=False)[0][0]
        except torch.OutOfMemoryError as error:
            error.__traceback__ = None  # its frames hold what has to go
        else:
            return whole
        log.info("too little memory to decode %s latents at once; in tiles", tuple(latents.shape[-2:]))
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        vae.enable_tiling()
        try:
            tiled: torch.Tensor = vae.decode(latents, return_dict=False)[0][0]
        finally:
            vae.disable_tiling()
        return tiled

    @staticmethod
    def _decode_in_full(vae: Any, latents: torch.Tensor) -> torch.Tensor:
        narrow = vae.dtype
        try:
            decoded: torch.Tensor = vae.to(torch.float32).decode(latents.float(), return_dict=False)[0][0]
        finally:
            vae.to(narrow)
        return decoded

    def forget_caches(self) -> None:
        """Give back what can be computed again."""
        self._embeddings.clear()

    def synchronise(self) -> None:
        """Wait until the device has done what it was given, so that times and cancellation are true."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()


def broken_numbers() -> NumericalError:
    """What to say where values are no longer finite."""
    return NumericalError(
        "The model produced broken numbers for this picture. Try another seed; if it happens again, tell the "
        "operator: the data type may not suit the device."
    )
