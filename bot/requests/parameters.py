"""A spec as text: a line that members can copy, and the metadata of a PNG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.errors import Refusal
from bot.media.metadata import NEGATIVE, encode_png
from bot.requests.flags import EDIT_FLAGS, FLAGS, read_flags
from bot.requests.option_types import Option
from bot.requests.options import OPTIONS, options_of
from bot.requests.spec import ImageOptions, ImageSpec
from zimage_engine.types import InvalidRequest, RawImage


def parameters_text(spec: ImageSpec, model: str | None = None) -> str:
    """Return everything that generates the image again, to be copied: if possible one line, a prompt with flags.

    ``model`` is the name of the spec's model if the bot has several, else None.

    The line is a prompt for ``/imagine``, or for ``/edit`` beside the edit's original. A prompt of several lines, or
    with a part that would be read as a flag, cannot be written like that: then each option has a line of its own.
    """
    options = replace(options_of(spec), model=model)
    # A value that extends to the end of the line comes last, as in ``FLAGS`` after the options of every picture.
    order = sorted(OPTIONS, key=lambda option: (option.rest_of_text, option.edits_only))
    values = [(option, getattr(options, option.name)) for option in order]
    values = [(option, value) for option, value in values if value is not None]
    flags = EDIT_FLAGS if any(option.edits_only for option, _ in values) else FLAGS
    given = {option.name: option.format(value) for option, value in values}
    line = " ".join([spec.prompt, *(f"--{name} {text}" for name, text in given.items())])
    if len(line.splitlines()) == 1 and _reads_as(line, options, flags):
        return line
    fields = {"prompt": spec.prompt, **given, "model": spec.model}
    return "\n".join(f"{name}: {value}" for name, value in fields.items())


def a1111_parameters(spec: ImageSpec) -> str:
    """Return the ``parameters`` of a PNG: the prompt, the negative prompt if there is one, and a line of settings.

    The CFG scale is the guidance scale + 1: Z-Image's 0 means "off", which is 1 for other tools.
    """
    lines = [spec.prompt]
    if spec.negative_prompt:
        lines.append(f"{NEGATIVE} {spec.negative_prompt}")
    settings = [
        f"Steps: {spec.steps}",
        "Sampler: Euler",
        f"CFG scale: {spec.guidance_scale + 1:g}",
        f"Seed: {spec.seed}",
        f"Size: {spec.size}",
        *(text for option in OPTIONS if option.png_setting is not None and (text := option.png_setting(spec))),
        f"Model: {spec.model}",
    ]
    return "\n".join([*lines, ", ".join(settings)])


def encode_picture(image: RawImage, spec: ImageSpec) -> bytes:
    """Return the image as PNG with the spec in its metadata. Blocks: call it in an executor."""
    return encode_png(image, spec.fields(), a1111_parameters(spec))


def _reads_as(line: str, options: ImageOptions, flags: Mapping[str, Option[Any]]) -> bool:
    """Return whether the line's prompt and flags are exactly these options."""
    try:
        return read_flags(ImageOptions(line), flags) == options
    except (Refusal, InvalidRequest):
        return False
