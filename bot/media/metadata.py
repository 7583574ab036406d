"""The parameters a PNG carries: ``parameters`` in the layout that other tools read, and ours as JSON in ``zimage``.

No time stamp: the same spec gives the same bytes.
"""

from __future__ import annotations

import json
from io import BytesIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zimage_engine.types import RawImage

FIELD = "zimage"


def encode_png(image: RawImage, fields: dict[str, str | int | float]) -> bytes:
    """The picture as PNG with its parameters; ``fields`` are an ``ImageSpec``'s. Blocks: run it in an executor."""
    info = PngInfo()
    info.add_text("parameters", a1111_parameters(fields))
    info.add_text(FIELD, json.dumps(fields, ensure_ascii=False, sort_keys=True))
    buffer = BytesIO()
    picture = Image.frombytes("RGB", (image.width, image.height), image.data)
    picture.save(buffer, "PNG", pnginfo=info, compress_level=6)
    return buffer.getvalue()


def a1111_parameters(fields: dict[str, str | int | float]) -> str:
    """The prompt, the negative prompt where there is one, and a line of settings.

    The CFG scale counts as other tools do: Z-Image's guidance scale + 1.
    """
    lines = [str(fields["prompt"])]
    if fields["negative_prompt"]:
        lines.append(f"Negative prompt: {fields['negative_prompt']}")
    cfg = float(fields["guidance_scale"]) + 1
    strength = f"Denoising strength: {fields['strength']:g}, " if "strength" in fields else ""
    lines.append(
        f"Steps: {fields['steps']}, Sampler: Euler, CFG scale: {cfg:g}, Seed: {fields['seed']}, "
        f"Size: {fields['width']}x{fields['height']}, {strength}Model: {fields['model']}"
    )
    return "\n".join(lines)


def read_fields(png: bytes) -> dict[str, object] | None:
    """Our JSON from a PNG of our own making, or None where it has none."""
    with Image.open(BytesIO(png)) as picture:
        text = picture.info.get(FIELD)
    if not isinstance(text, str):
        return None
    parsed = json.loads(text)
    return parsed if isinstance(parsed, dict) else None


def shrink(png: bytes, limit: int) -> tuple[bytes, str]:
    """The PNG itself where it fits into ``limit`` bytes, else a WebP with its quality stepped down; with its suffix.

    Blocks: run it in an executor. Raises :class:`ValueError` where even the smallest WebP is too large.
    """
    if len(png) <= limit:
        return png, "png"
    with Image.open(BytesIO(png)) as picture:
        for quality in (95, 90, 80, 65, 50, 30):
            buffer = BytesIO()
            picture.save(buffer, "WEBP", quality=quality, method=4)
            if buffer.tell() <= limit:
                return buffer.getvalue(), "webp"
    raise ValueError(f"the picture does not fit into {limit} bytes")
