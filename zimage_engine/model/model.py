"""A Z-Image model in units: encode text, encode image, denoise one step for a batch, decode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from zimage_engine.device.memory import Placement
from zimage_engine.excerpts import excerpt
from zimage_engine.model.captions import Embedding, EmbeddingCache, Transformer
from zimage_engine.model.decoding import ImageDecoder, broken_numbers
from zimage_engine.model.generation import Generation, Inpainting
from zimage_engine.model.omni import Embed, Omni, OmniTransformer, Vision
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
)
from zimage_engine.pixels import read_mask, read_original
from zimage_engine.profiles import Size
from zimage_engine.scheduling.tokens import PROMPT_TOKENS_MAX, TOKEN_MULTIPLE, padded
from zimage_engine.types import ImageRequest, InvalidRequest, NumericalError, RawImage


@dataclass(frozen=True, slots=True)
class Components:
    """The parts of a loaded Z-Image model. ``scheduler_config`` is the content of the folder's scheduler config.

    Without ``masks`` the transformer never gets an attention mask. With ``vision`` it runs in omni mode, in which
    images are edited by instruction.
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
    """Runs diffusers' Z-Image components one unit at a time.

    The result equals that of ``ZImagePipeline`` (``ZImageOmniPipeline`` in omni mode) called for one image with a CPU
    generator: ±1 of 255 on the CPU, in float32 and, alone, in bfloat16.

    Models with the same tokenizer, text encoder and mode may share their ``embeddings``.
    """

    def __init__(self, components: Components, device: torch.device, embeddings: EmbeddingCache | None = None) -> None:
        self.parts = components
        self._device = device
        self._decoder = ImageDecoder(components.vae)
        self._schedule = SigmaSchedule(components.scheduler_config, device)
        self._embeddings = embeddings if embeddings is not None else EmbeddingCache()
        config: Any = components.vae.config
        self._latent_scale = 2 ** (len(config.block_out_channels) - 1)
        self._scaling, self._shift = float(config.scaling_factor), float(config.shift_factor or 0.0)
        self._dtype = next(components.transformer.parameters()).dtype
        transformer_config: Any = components.transformer.config
        self._positions: int = transformer_config.axes_lens[0]
        replay = components.placement is not Placement.GROUP_OFFLOAD
        self.transformer = Transformer(components.transformer, replay=replay, masks=components.masks)
        self._omni: Omni | None = None
        if components.vision is not None:
            self.transformer = OmniTransformer(components.transformer, masks=components.masks)
            self._omni = Omni(components.vision, components.vae, device, self._dtype)

    @torch.inference_mode()
    def start(self, request: ImageRequest, scope: str = "") -> Generation:
        """Encode the prompt (and the negative prompt if guidance is on) and create the noise.

        ``scope`` is an opaque name of whoever asks: embeddings are reused within it alone, until :meth:`forget`.

        If the request has an image, :meth:`read_image` comes next and, except in omni mode, replaces the latents.
        Raises :class:`NumericalError` if the model's scheduler cannot do so many steps, and :class:`InvalidRequest` if
        a prompt has more tokens than the transformer has positions: on CUDA such an index ends the process's context.
        """
        rows, columns = request.height // self._latent_scale, request.width // self._latent_scale
        self._schedule.levels(request.steps, rows // 2 * (columns // 2))  # no step has to wait for its table
        channels: Any = self.parts.transformer.in_channels
        encoded: list[int] = []
        embed = partial(self._embed, encoded)
        positive, negative = self._encode_prompt(request, request.prompt, scope, embed), None
        if request.guidance_scale > 0:
            negative = self._encode_prompt(request, request.negative_prompt, scope, embed)
        return Generation(
            request=request,
            positive=positive,
            negative=negative,
            latents=initial_noise(request.seed, (channels, rows, columns)).to(self._device),
            encoded_tokens=tuple(encoded),
        )

    @torch.inference_mode()
    def read_image(self, generation: Generation) -> None:
        """Encode the request's image and add noise up to its first step; in omni mode, add it to the prompts.

        Raises what :func:`zimage_engine.pixels.read_original` raises.

        As in diffusers' pipelines, one generator makes first the posterior's noise and then the latents', and the
        latents have the embeddings' dtype until the first step.
        """
        request = generation.request
        original = read_original(request)
        drawn_mask = read_mask(request) if request.mask is not None else None
        if self._omni is not None:
            self._omni.encode_image(original, [generation.positive, generation.negative])
            return
        vae, dtype = self.parts.vae, generation.positive.states.dtype
        generator = torch.Generator("cpu").manual_seed(request.seed)
        pixels = from_raw_image(original).to(self._device, dtype)
        encode: Any = vae.encode
        clean = (encode(pixels[None]).latent_dist.sample(generator)[0] - self._shift) * self._scaling
        noise = torch.randn((1, *clean.shape), generator=generator, dtype=dtype)[0].to(self._device)
        generation.step = request.first_step
        sigma = self._levels(generation)[0][generation.step].to(dtype)
        generation.latents = add_noise(clean, noise, sigma)
        if drawn_mask is not None:
            to_cells = grow_mask if request.keep_outside else latent_mask
            mask = to_cells(drawn_mask, request.width, request.height, self._latent_scale)
            kept = original if request.keep_outside else None
            generation.inpainting = Inpainting(clean, noise, mask.to(self._device, dtype), kept)

    def tokens(self, size: Size) -> int:
        """Return the tokens of one sample's forward with a short prompt, padding included."""
        scale = self._latent_scale * 2
        return padded(size.width // scale * (size.height // scale)) + TOKEN_MULTIPLE

    @torch.inference_mode()
    def encode_uncached(self, prompt: str) -> int:
        """Run the text encoder without the cache, to measure it, and wait. Returns the tokens of the prompt."""
        embedding = self._encode(prompt)
        self.synchronise()
        return embedding.tokens

    def _encode_prompt(self, request: ImageRequest, prompt: str, scope: str, embed: Embed) -> Embedding:
        scope = scope if prompt else ""  # an empty negative prompt says nothing about anybody
        if self._omni is None:
            embedding = embed(scope, prompt)
        else:
            embedding = self._omni.instruction(request, prompt, scope, embed)
        if embedding.last_position >= self._positions:
            share = int(90 * self._positions / embedding.last_position)
            raise InvalidRequest(f"“{excerpt(prompt, 40)}…” is too long for this model: keep at most {share} % of it.")
        return embedding

    def _embed(self, encoded: list[int], scope: str, prompt: str) -> Embedding:
        """Return the cached embedding, or encode the prompt and add its tokens to ``encoded``."""
        embedding = self._embeddings.get(scope, prompt)
        if embedding is None:
            embedding = self._encode(prompt)
            encoded.append(embedding.tokens)
            self._embeddings.put(scope, prompt, embedding)
        return embedding

    def _encode(self, prompt: str) -> Embedding:
        """Return the prompt's last hidden state but one.

        The pipeline pads to 512 tokens. Padding to the next multiple of 32, by one token at least, gives the same bits:
        the text encoder then uses the same kernels. Without padding, bfloat16 is rounded differently.
        """
        tokenizer, chat = self.parts.tokenizer, prompt
        if self._omni is None:  # in omni mode the chat template is already in the text
            chat = tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=True
            )
        ids = tokenizer(chat, return_tensors="pt", verbose=False).input_ids  # says nothing of a long prompt
        truncated = ids.shape[1] > PROMPT_TOKENS_MAX
        ids = ids[:, :PROMPT_TOKENS_MAX]
        tokens = ids.shape[1]
        width = min(padded(tokens + 1), PROMPT_TOKENS_MAX)
        ids = functional.pad(ids, (0, width - tokens), value=tokenizer.pad_token_id)
        mask = torch.arange(width)[None] < tokens
        encoder = self.parts.text_encoder
        moves = self.parts.placement is Placement.ENCODER_MOVES
        try:
            if moves:
                encoder.to(self._device)
            where = next(encoder.parameters()).device
            output = encoder(
                input_ids=ids.to(where), attention_mask=mask.to(where), output_hidden_states=True, use_cache=False
            )
            states = output.hidden_states[-2][0, :tokens].to(self._device)
            return Embedding(states.clone(), truncated)  # a copy, which does not keep the padding in memory
        finally:
            if moves:
                encoder.to("cpu")

    @torch.inference_mode()
    def step(self, generations: Sequence[Generation]) -> torch.Tensor:
        """Do one denoising step of generations of one size in one forward; they may be at different steps.

        They change together at the end or, if something is raised, not at all. Does not wait for the device: returns
        ``(generations,)`` booleans on it, True if the latents are finite, for :meth:`failures`.
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
        outputs = iter(self.transformer(inputs, torch.stack(times), captions))
        stepped = [self._latents_after(generation, outputs) for generation in generations]
        finite = torch.stack([torch.isfinite(latents).all() for latents in stepped])
        for generation, latents in zip(generations, stepped, strict=True):
            generation.latents = latents
            generation.step += 1
        return finite

    def failures(self, generations: Sequence[Generation], finite: torch.Tensor) -> dict[str, NumericalError]:
        """Return an error by request id for the generations whose latents are not finite; waits for the device.

        ``finite`` is what :meth:`step` returned for them. Embeddings of failed generations leave the cache, since they
        may be the cause.
        """
        failed = [generation for generation, ok in zip(generations, finite.tolist(), strict=True) if not ok]
        if failed:
            self._embeddings.clear()
        return {generation.request.id: broken_numbers() for generation in failed}

    def _levels(self, generation: Generation) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = (generation.latents.shape[1] // 2) * (generation.latents.shape[2] // 2)
        return self._schedule.levels(generation.request.steps, tokens)

    def _latents_after(self, generation: Generation, outputs: Iterator[torch.Tensor]) -> torch.Tensor:
        """Return the latents after the step. Takes the next transformer output, or two if guidance is on."""
        output = next(outputs).float()
        if generation.negative is not None:
            output = guided(output, next(outputs).float(), generation.request.guidance_scale)
        sigmas = self._levels(generation)[0]
        after = sigmas[generation.step + 1]
        latents = euler_step(generation.latents, -output.squeeze(1), sigmas[generation.step], after)
        if generation.request.previews:
            generation.expected = latents + after * output.squeeze(1)
        if (inpainting := generation.inpainting) is not None:
            kept = add_noise(inpainting.clean, inpainting.noise, after)
            latents = (1 - inpainting.mask) * kept + inpainting.mask * latents
        return latents

    @torch.inference_mode()
    def decode(self, generation: Generation) -> torch.Tensor:
        """Decode the latents to pixels ``(3, height, width)`` in −1 … 1 on the device, for :meth:`to_image`.

        Does not wait for the device.
        """
        return self._decoder.decode(generation.latents)

    @torch.inference_mode()
    def to_image(self, generation: Generation, decoded: torch.Tensor) -> RawImage:
        """Return what :meth:`decode` decoded as a picture; waits for the device.

        With ``keep_outside`` the image's own pixels are put back outside the mask. Raises :class:`NumericalError` if
        the pixels are not finite or all black, after decoding in float32, too.
        """
        inpainting = generation.inpainting
        image = self._decoder.to_image(generation.latents, decoded)
        if inpainting is not None and inpainting.original is not None:
            return composite(image, inpainting.original, inpainting.mask)
        return image

    def forget(self, scope: str) -> None:
        """Drop the embeddings of a scope's prompts. Generations that are running keep theirs."""
        self._embeddings.forget(scope)

    def forget_caches(self) -> None:
        """Free what can be computed again."""
        self._embeddings.clear()

    def synchronise(self) -> None:
        """Wait until the device has finished, so that measured seconds are right."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()
