"""The engine's messages: requests, plans, results, events, errors.

All are frozen, picklable and free of torch, so that a worker can run in another process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from PIL import Image


class EngineError(Exception):
    """The base of the engine's errors. The message is for a person; ``code`` is for programs and never changes."""

    code: ClassVar[str] = "engine_error"


class InvalidRequest(EngineError):
    """The model cannot do what the request asks for; nothing was generated."""

    code = "invalid_request"


class OriginalUnreadable(EngineError):
    """The original of an edit, or its mask, is missing or damaged."""

    code = "original_unreadable"


class ModelNotFound(EngineError):
    """The weights are missing or damaged, or are not those of a Z-Image model."""

    code = "model_not_found"


class DeviceNotFound(EngineError):
    """There is no such device on this machine, or the text that names the devices cannot be understood."""

    code = "device_not_found"


class NotAvailable(EngineError):
    """This machine or its installed packages do not support an option."""

    code = "not_available"


class WorkerLost(EngineError):
    """The worker stopped. The engine loads another one and restarts the requests; callers do not see this error."""

    code = "worker_lost"


class DeviceLost(EngineError):
    """The device or its worker stopped working for good; the process has to be restarted."""

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


MASK_THRESHOLD = 128
"""The least value of a mask's pixel, 0 to 255, with which that pixel is generated anew."""


@dataclass(frozen=True, slots=True)
class RawImage:
    """Pixels without torch or Pillow: ``data`` has ``height · width · 3`` bytes, RGB, rows from the top."""

    width: int
    height: int
    data: bytes = field(repr=False)

    def to_pil(self) -> Image.Image:
        """Return a Pillow image with a copy of the pixels, in mode ``RGB``."""
        from PIL import Image  # noqa: PLC0415 - a message needs no Pillow

        return Image.frombytes("RGB", (self.width, self.height), self.data)


ImageFile = Path | bytes
"""A PNG: its path, or its content."""


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One picture to generate; :meth:`ModelProfile.request` fills in the defaults of a model.

    - ``id``: a name that no other request has at the same time. ``prompt``: 1 to 4,000 characters.
    - ``width``, ``height``: in pixels; multiples of the profile's ``size_multiple``, at most 4 to 1.
    - ``steps``: the denoising steps, in the profile's range. ``seed``: 0 to 2³²−1; the same request with the same seed
      gives the same picture.
    - ``guidance_scale``: in the profile's range. Above 0 it doubles the work: the transformer runs for the
      ``negative_prompt``, too.
    - ``original``: a PNG of exactly the request's size; makes the request an edit. ``strength``: how much it changes,
      above 0 and up to 1; below 1 the first steps are left out.
    - ``mask``: a PNG of the same size; limits the edit to the pixels where it is 128 or more.
    - ``keep_outside``: grow the mask to whole cells of the latents, and return every pixel outside the grown mask as it
      is in the original, byte for byte. Without it the result is that of diffusers' inpainting.
    - ``previews``: ask for a preview after each step but the last, as long as they take little time.
    - ``model``: the name of the profile that generates it; empty: the engine's default model.

    Original and mask are read when the edit begins, so that a waiting request holds no pixels; a path must stay
    readable until the request has ended. A model that edits by instruction takes neither mask nor strength.
    """

    id: str
    prompt: str
    width: int
    height: int
    steps: int
    seed: int
    guidance_scale: float = 0.0
    negative_prompt: str = ""
    original: ImageFile | None = field(default=None, repr=False)
    mask: ImageFile | None = field(default=None, repr=False)
    strength: float = 1.0
    previews: bool = False
    keep_outside: bool = False
    model: str = ""

    @property
    def first_step(self) -> int:
        """The steps that an edit leaves out: ``int(steps − steps · strength)``, as diffusers' pipelines do."""
        if self.original is None:
            return 0
        return int(max(self.steps - min(self.steps * self.strength, self.steps), 0))

    @property
    def real_steps(self) -> int:
        """The number of steps that are run."""
        return self.steps - self.first_step


class Unit(Enum):
    """A kind of work that a device does without interruption."""

    ENCODE_TEXT = "encode text"
    ENCODE_IMAGE = "encode image"
    DENOISE = "denoise"
    DECODE = "decode"
    LOAD_MODEL = "load model"


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A request that a worker has not seen. Embeddings of its prompts are shared only within its ``scope``."""

    request: ImageRequest
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The next work of a worker: one unit for the requests with these ``ids``.

    ``new`` holds those that the worker has not seen: their first unit is this one. Before the unit, the worker frees
    what it holds of the requests in ``release`` and forgets the embeddings of the scopes in ``forget``; without a
    ``unit`` that is all it does. ``seconds`` is what the unit is predicted to take. All requests of a plan are of one
    model, whose profile's name is ``model``; empty if there is no unit.

    With ``LOAD_MODEL`` the worker makes that model ready for use, and may drop others to make room. ``ids`` is then the
    one request for which it is loaded; the worker need not know it, and what it holds of it stays as it is.

    With ``ahead`` it was made before the result of the plan before it was known: if that fails in part, it is skipped.
    """

    unit: Unit | None
    ids: tuple[str, ...] = ()
    new: tuple[NewRequest, ...] = ()
    release: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    seconds: float = 0.0
    ahead: bool = False
    model: str = ""


@dataclass(frozen=True, slots=True)
class PlanResult:
    """The result of a plan: the seconds that the device was busy, and images and failures by request id.

    An image ends its request, whichever unit returns it. ``truncated`` holds the ids of requests whose prompt is too
    long for the model. ``caption_tokens`` holds the number of tokens of the prompt and, if guidance is on, of the
    negative prompt; those of an image that is edited by instruction are included. ``encoded_tokens`` holds those of
    each text that the text encoder ran on; none if all came from the cache.

    ``out_of_memory`` is True if the unit was too large as a whole: it changed nothing, and ``failures`` holds the error
    of each request in case it is not retried. ``previews`` holds small pictures of some of the requests that asked for
    them. ``skipped`` is True if nothing was done, because the plan before had failed. ``models`` names the models that
    the device holds after the plan; None if they are the same as before. If a model cannot be loaded, ``failures`` has
    the error of the request for which it was to be.
    """

    seconds: float
    images: Mapping[str, RawImage] = field(default_factory=dict)
    failures: Mapping[str, EngineError] = field(default_factory=dict)
    truncated: frozenset[str] = frozenset()
    caption_tokens: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    encoded_tokens: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    out_of_memory: bool = False
    previews: Mapping[str, RawImage] = field(default_factory=dict)
    skipped: bool = False
    models: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Queued:
    """The request waits behind ``position`` others. ``eta`` is the expected seconds to its end, None if unknown."""

    position: int
    eta: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """``done`` of ``total`` denoising steps are done; ``preview`` is what the picture looks like so far.

    Follows every unit of a request but the last, so ``done`` is 0 after encoding. The preview has the picture's shape
    and as little as one pixel for each latent. It is None if none was requested or it would have taken too long.
    """

    done: int
    total: int
    preview: RawImage | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The picture, and the seconds of the device that it took; of a step in a batch its part counts.

    ``truncated`` is True if the model read only the beginning of the prompt.
    """

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
    """The request was cancelled after ``units_done`` units, ``steps_done`` of them steps, which took ``seconds``."""

    steps_done: int
    seconds: float
    units_done: int = 0


Progress = Queued | Step
"""What happens to a request before it ends."""
Terminal = Finished | Failed | Cancelled
"""How a request ends."""
Event = Progress | Terminal
"""What a :class:`Handle` yields."""
