"""Tries an attention kernel out in a short child process, before any weights are read.

``python -m zimage_engine.device.attention_check KERNEL DEVICE`` prints one line of JSON: the sentence that says what is
wrong, or null.
"""

from __future__ import annotations

import json
import subprocess
import sys

_SECONDS = 60.0
_HEADS, _HEAD_SIZE = 2, 128
"""Z-Image's heads have this size; two of them are enough to see whether a kernel runs."""

_AXES = (32, 48, 48)


def attention_fault(kernel: str, device: str) -> str | None:
    """Return what keeps this attention kernel from running on the device, by its name; None if nothing does.

    Blocks for some seconds. ``auto`` is torch's own, which always runs, so it is not tried.
    """
    if kernel == "auto":
        return None
    command = [sys.executable, "-m", "zimage_engine.device.attention_check", kernel, device]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)  # noqa: S603
        fault: str | None = json.loads(done.stdout.strip().rpartition("\n")[2])
    except subprocess.TimeoutExpired:
        return f"The attention kernel “{kernel}” does not answer within {_SECONDS:g} s: set ATTENTION=auto."
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip() or f"exit status {error.returncode}").splitlines()[-1]
        return f"The attention kernel “{kernel}” cannot be used here ({reason[:200]}): set ATTENTION=auto."
    return fault


def try_out(kernel: str, device_name: str) -> str | None:
    """Try the kernel out in this process, and return what :func:`attention_fault` does. Imports torch."""
    import torch  # noqa: PLC0415 - in the child alone, as the following
    from diffusers import ZImageTransformer2DModel  # noqa: PLC0415

    from zimage_engine.device.acceleration import Acceleration  # noqa: PLC0415
    from zimage_engine.device.devices import pick_device  # noqa: PLC0415
    from zimage_engine.types import EngineError  # noqa: PLC0415

    try:
        device = pick_device(device_name)
        transformer = ZImageTransformer2DModel(
            dim=_HEADS * _HEAD_SIZE, n_heads=_HEADS, n_kv_heads=_HEADS, n_layers=1, n_refiner_layers=1, axes_dims=_AXES
        )
        dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
        Acceleration(kernel).apply(transformer.to(device, dtype).eval(), resident=True)
    except EngineError as error:
        return str(error)
    return None


if __name__ == "__main__":
    print(json.dumps(try_out(*sys.argv[1:3])))  # noqa: T201 - the answer
