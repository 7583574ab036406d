"""What crosses the engine's edges: requests, plans, results, events, errors.

Everything here is frozen, picklable and free of torch, so that a worker may live in another process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar


class EngineError(Exception):
    """Something the engine could not do. ``code`` is stable; the message is one sentence for a person."""

    code: ClassVar[str] = "engine_error"


class InvalidRequest(EngineError):
    """The request asks for what the model cannot do; nothing was drawn."""

    code = "invalid_request"


class ModelNotFound(EngineError):
    """The weights are not where they were looked for, or are not a Z-Image model."""

    code = "model_not_found"


class DeviceNotFound(EngineError):
    """There is no such device on this machine."""

    code = "device_not_found"


class NotAvailable(EngineError):
    """An option that this machine or its installed packages cannot serve."""

    code = "not_available"


class WorkerLost(EngineError):
    """The worker stopped and with it what it held; a new one can begin again."""

    code = "worker_lost"


class DeviceLost(EngineError):
    """The device or its worker stopped working; the process has to be restarted."""

    code = "device_lost"


class OutOfMemory(EngineError):
    """The device has too little memory for this request."""

    code = "out_of_memory"


class NumericalError(EngineError):
    """The model produced values that are not finite."""

    code = "numerical_error"


class UnitFailed(EngineError):
    """An unexpected error in the model's code; the log has the traceback."""

    code = "unit_failed"


class EngineClosed(EngineError):
    """The engine is closed, or was closed before the request was done."""

    code = "engine_closed"


@dataclass(frozen=True, slots=True)
class RawImage:
    """Pixels as they cross threads and processes: ``height · width · 3`` bytes, RGB, rows from the top."""

    width: int
    height: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One image to draw. ``width`` and ``height`` in pixels; ``seed`` in 0 … 2³²−1; ``steps`` ≥ 1.

    ``guidance_scale`` above 0 doubles the work: the transformer runs for the negative prompt too.

    With ``image``, of exactly the request's size, that image is changed: by little or by much as ``strength`` (above
    0, up to 1) says, which leaves out the first steps. With ``mask`` too (``height · width`` bytes, from 128 on:
    repaint) only there. With ``keep_outside`` as well, the mask grows to whole cells of the latents, and every pixel
    outside the grown mask is the original's, byte for byte; without it, all is as diffusers' inpainting draws it.
    A model that edits by instruction takes the prompt for what to change, and neither mask nor strength.

    With ``previews`` each step but the last is followed by a look at the picture, as long as time allows.
    """

    id: str
    prompt: str
    width: int
    height: int
    steps: int
    seed: int
    guidance_scale: float = 0.0
    negative_prompt: str = ""
    image: RawImage | None = None
    mask: bytes | None = field(default=None, repr=False)
    strength: float = 1.0
    previews: bool = False
    keep_outside: bool = False

    @property
    def first_step(self) -> int:
        """How many steps are left out, as diffusers' pipelines count: ``int(steps − steps · strength)``."""
        if self.image is None:
            return 0
        return int(max(self.steps - min(self.steps * self.strength, self.steps), 0))

    @property
    def real_steps(self) -> int:
        """How many steps are run."""
        return self.steps - self.first_step


class Unit(Enum):
    """The pieces of work a device does without being interrupted."""

    ENCODE_TEXT = "encode text"
    ENCODE_IMAGE = "encode image"
    DENOISE = "denoise"
    DECODE = "decode"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker does next: one unit for these requests. It forgets what it holds of ``release`` first."""

    unit: Unit
    requests: tuple[ImageRequest, ...]
    release: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanResult:
    """What came of a plan: the seconds the device was busy, finished images and failures by request id.

    ``truncated`` names the requests of which the model reads only the prompt's beginning; ``caption_tokens`` says how
    many tokens the prompt (and the negative prompt where guidance is on) came to, those of an image that is edited by
    instruction included. With ``out_of_memory`` the unit was too large as a whole: nothing has changed, and each
    request's failure is what to say if it is not tried again. ``previews`` has a small picture of some that asked for
    one.
    """

    seconds: float
    images: Mapping[str, RawImage] = field(default_factory=dict)
    failures: Mapping[str, EngineError] = field(default_factory=dict)
    truncated: frozenset[str] = frozenset()
    caption_tokens: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    out_of_memory: bool = False
    previews: Mapping[str, RawImage] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Queued:
    """Waiting; ``position`` requests go first. ``eta`` is the expected seconds to the end, None before any measure."""

    position: int
    eta: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """``done`` of ``total`` denoising steps are behind us; ``preview`` is what the picture looks like so far.

    The preview may be much smaller than the picture; it is None where none was asked for, or none could be had.
    """

    done: int
    total: int
    preview: RawImage | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The picture, the device seconds it took, and whether the model read only the prompt's beginning."""

    image: RawImage
    seconds: float
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The request ended without a picture after ``seconds`` on the device."""

    error: EngineError
    seconds: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The request was cancelled after ``steps_done`` steps and ``seconds`` on the device."""

    steps_done: int
    seconds: float


Progress = Queued | Step
Terminal = Finished | Failed | Cancelled
Event = Progress | Terminal


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A look at the engine: ``state`` is loading, ready, failed or closed; ``waiting`` counts requests not started.

    ``stage`` says in a few words what loading is at, such as "downloading: 3.1 of 20.5 GB".
    """

    state: str
    device: str
    model: str
    waiting: int
    running: int
    finished: int
    failed: int
    busy_seconds: float
    stage: str = ""
