"""What a check finds, and what it may look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from bot.configured_models import FindDevices, FindNvidia, named_profiles
from bot.errors import ExitStatus
from bot.settings import Settings
from zimage_engine.device.nvidia import find_nvidia
from zimage_engine.device.probe import probe
from zimage_engine.profiles import ModelProfile


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``ok`` is True, False, or None for a note.

    If it is False, ``run`` ends with ``status``.
    """

    name: str
    ok: bool | None
    text: str
    status: ExitStatus = ExitStatus.CONFIGURATION


class Surroundings:
    """What the checks look at: the settings and this machine, whose devices are looked for once.

    ``offline`` forbids to ask Discord, the hub and a Ray cluster. ``hurried`` leaves out what may take longer than
    some seconds.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        offline: bool = False,
        hurried: bool = False,
        find_devices: FindDevices | None = None,
        find_gpu: FindNvidia | None = None,
    ) -> None:
        self.settings = settings
        self.offline = offline
        self.hurried = hurried
        self.find_devices: FindDevices = cache(find_devices or probe)
        self.find_gpu: FindNvidia = cache(find_gpu or find_nvidia)

    def profiles(self) -> tuple[ModelProfile, ...]:
        """Return the profiles that the settings name. Raises :class:`EngineError` and :class:`StartupError`."""
        return named_profiles(self.settings, self.find_devices, self.find_gpu)


Look = Callable[[Surroundings], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """``name`` is that of the line if ``look`` raises. ``first``: it must hold before the bot connects to Discord."""

    name: str
    look: Look
    first: bool = False
