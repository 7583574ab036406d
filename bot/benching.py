"""``zimage-bot bench``: the full-size model with random weights, as a table."""

from __future__ import annotations

import torch
from rich.console import Console
from rich.table import Table

from bot.errors import StartupError
from zimage_engine.loading import pick_device
from zimage_engine.memory import GB
from zimage_engine.profiles import parse_size
from zimage_engine.rehearsal import Measure, peak_memory, rehearse

_STEPS = 8
_TERA = 1e12


def bench_full_size(device_name: str, dtype_name: str, sizes: list[str]) -> None:
    """Print seconds, tokens and FLOP a second of each unit, and what eight steps with them come to."""
    if dtype_name not in ("bfloat16", "float32"):
        raise StartupError(f"There is no data type “{dtype_name}” here: use bfloat16 or float32.")
    device, asked = pick_device(device_name), [parse_size(size) for size in sizes]
    console = Console()
    table = Table(title=f"Z-Image with random weights, {dtype_name}, {_named(device)}")
    for heading in ("unit", "seconds", "tokens/s", "TFLOP", "TFLOP/s", "of measured peak"):
        table.add_column(heading, justify="left" if heading == "unit" else "right")
    measured: dict[str, Measure] = {}
    with console.status("building and measuring (minutes on a CPU) …"):
        for each in rehearse(device, getattr(torch, dtype_name), asked):
            measured[each.unit] = each
            pace = f"{each.tokens / each.seconds:.0f}" if each.tokens else ""
            rate = each.flop / each.seconds / _TERA
            row = (f"{each.seconds:.3g}", pace, f"{each.flop / _TERA:.2f}", f"{rate:.2f}", f"{each.peak_share:.0%}")
            table.add_row(each.unit, *row)
    console.print(table)
    for size in asked:
        encode = next(iter(measured.values())).seconds
        total = encode + _STEPS * measured[f"step {size}"].seconds + measured[f"decode {size}"].seconds
        console.print(f"one image {size}, {_STEPS} steps: {total:.3g} s")
    console.print(f"peak memory: {peak_memory(device) / GB:.1f} GB")


def _named(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"
