"""Measures what units cost on this device, and keeps that on disk by device, model and library versions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zimage_engine.device.cached_json import read_cached, write_cached
from zimage_engine.device.out_of_memory import free_memory, is_out_of_memory
from zimage_engine.model.generation import Generation
from zimage_engine.model.model import ZImageModel
from zimage_engine.profiles import ModelProfile, Size
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import ImageRequest

_GAIN_MIN = 1.1
"""A larger batch must make this many times as many pictures a second."""

_SAMPLES_MAX = 32
_MEASURING_SECONDS = 20.0
_SLOW_SECONDS = 2.0
_STORED_FIELDS = {field.name for field in fields(CostModel)} - {"correction"}
_PROMPT = "a red circle on a blue background"
_LONG_PROMPT = f"{_PROMPT}, " * 40


def known_costs(model: ZImageModel, profile: ModelProfile, device: str, cache_dir: Path | None) -> CostModel:
    """Return the stored costs of this device and model, or measure and store them."""
    costs = stored_costs(profile, device, cache_dir)
    if costs is None:
        costs = measure(model, profile)
        measured = {field: value for field, value in asdict(costs).items() if field in _STORED_FIELDS}
        path = _path(cache_dir)
        write_cached(path, _known(path) | {_name(profile, device): measured})
    return costs


def stored_costs(profile: ModelProfile, device: str, cache_dir: Path | None) -> CostModel | None:
    """Return the stored costs of this device and model; None if they have not been measured."""
    stored = _known(_path(cache_dir)).get(_name(profile, device))
    return None if stored is None else CostModel(**stored)


def _path(cache_dir: Path | None) -> Path | None:
    return None if cache_dir is None else cache_dir / "costs.json"


def _name(profile: ModelProfile, device: str) -> str:
    return f"{device} | {profile.weights} | {profile.base_size} | torch {torch.__version__} x{torch.get_num_threads()}"


def _known(path: Path | None) -> dict[str, Any]:
    """Return the stored measurements, without those of an older program."""
    return {
        name: values
        for name, values in read_cached(path).items()
        if isinstance(values, dict) and set(values) == _STORED_FIELDS
    }


def measure(model: ZImageModel, profile: ModelProfile) -> CostModel:
    """Time the model's units at the base size.

    The batch is doubled as long as that makes a tenth more pictures a second. Stops after some seconds: on a slow
    device, where one forward takes seconds, batches are not tried.
    """
    began = time.perf_counter()
    base, samples = profile.base_size, 1
    encode_text, encode_token = _text_seconds(model)
    times = {(base, 1): _step_time(model, base, 1)}
    while samples < _SAMPLES_MAX and time.perf_counter() - began < _MEASURING_SECONDS:
        if (seconds := _time_if_it_fits(model, base, 2 * samples)) is None:
            break
        times[base, 2 * samples] = seconds
        if times[base, 2 * samples] * _GAIN_MIN > 2 * times[base, samples]:
            break
        samples *= 2
    if time.perf_counter() - began < _MEASURING_SECONDS:
        large = Size(base.width, base.height * 2)
        if (seconds := _time_if_it_fits(model, large, 1)) is not None:
            times[large, 1] = seconds
    base_linear_square = _fit({(model.tokens(size), n): seconds for (size, n), seconds in times.items()})
    generation = _generations(model, base, 1)[0]
    decode = _median(lambda: model.to_image(generation, model.decode(generation)), 2)
    return CostModel(
        *base_linear_square,
        encode_text=encode_text,
        encode_token=encode_token,
        pixel=decode / base.pixels,
        budget=samples * model.tokens(base),
    )


def _text_seconds(model: ZImageModel) -> tuple[float, float]:
    """Return the seconds that a text takes, and those of each of its tokens, from a short and a long one.

    On a slow device the short one alone is measured, and all of its time is taken to be its tokens'.
    """
    measured = []
    for text in (_PROMPT, _LONG_PROMPT):
        tokens = model.encode_uncached(text)  # the first run also prepares kernels
        seconds = _median(partial(model.encode_uncached, text), 3)
        if seconds > _SLOW_SECONDS:
            return 0.0, seconds / tokens
        measured.append((tokens, seconds))
    (short, short_seconds), (long, long_seconds) = measured
    token = max(0.0, (long_seconds - short_seconds) / max(1, long - short))
    return max(short_seconds - token * short, 0.0), token


def warm_up(model: ZImageModel, profile: ModelProfile) -> None:
    """Run a step of every offered size, and one of two samples of the base size, so that they are compiled."""
    sizes = [(size, 1) for group in profile.offered_sizes().values() for size in group]
    for size, samples in [*sizes, (profile.base_size, 2)]:
        _time_if_it_fits(model, size, samples)


def _time_if_it_fits(model: ZImageModel, size: Size, samples: int) -> float | None:
    """Return :func:`_step_time`, or None if the device has too little memory."""
    try:
        return _step_time(model, size, samples)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        error.__traceback__ = None
    free_memory()
    return None


def _step_time(model: ZImageModel, size: Size, samples: int) -> float:
    """Return the median seconds of one step of ``samples`` images."""
    generations = _generations(model, size, samples)

    def step() -> None:
        for generation in generations:
            generation.step = 0
        model.step(generations)
        model.synchronise()

    step()  # the first forward of a size also prepares kernels and memory
    return _median(step, 3)


def _generations(model: ZImageModel, size: Size, samples: int) -> list[Generation]:
    return [model.start(ImageRequest(str(i), _PROMPT, size.width, size.height, 8, i)) for i in range(samples)]


def _median(action: Callable[[], object], times: int) -> float:
    """Return the median seconds of up to ``times`` runs; a slow action runs once."""
    measured = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        measured.append(time.perf_counter() - began)
        if measured[-1] > _SLOW_SECONDS:
            break
    return statistics.median(measured)


def _fit(times: dict[tuple[int, int], float]) -> tuple[float, float, float]:
    """Return the ``base, linear, square`` of :class:`CostModel` with the smallest relative squared error.

    ``times`` are seconds by tokens and samples. Terms that the measurements cannot tell apart, or whose best value is
    negative, are 0; the square is dropped first.
    """
    choices = [[1]]
    if len(times) > 1:
        choices.insert(0, [0, 1])
    if len({tokens for tokens, _ in times}) > 1 and len(times) > 2:
        choices.insert(0, [0, 1, 2])
    seconds = np.array(list(times.values()))
    columns = np.array([(1.0, n * tokens, n * tokens * tokens) for tokens, n in times]) / seconds[:, None]
    for terms in choices:
        found = np.linalg.lstsq(columns[:, terms], np.ones(len(seconds)), rcond=None)[0]
        if (found > 0).all():
            break
    values = dict(zip(terms, found.tolist(), strict=True))
    return values.get(0, 0.0), values.get(1, 0.0), values.get(2, 0.0)
