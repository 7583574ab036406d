"""The models that the settings name: their profiles, and the configuration of an engine for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bot.errors import StartupError
from bot.inert import in_quotes
from bot.settings import Settings
from zimage_engine.catalog import CPU_PROFILE, GPU_PROFILE, PROFILES, either, find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.nvidia import NvidiaState, find_nvidia, what_to_fix
from zimage_engine.device.probe import DeviceReport, probe
from zimage_engine.profiles import ModelProfile
from zimage_engine.types import NotAvailable
from zimage_engine.weights import complete_profile

FindDevices = Callable[[str], DeviceReport]
FindNvidia = Callable[[], NvidiaState]


def choose_profiles(settings: Settings, find_devices: FindDevices = probe) -> tuple[ModelProfile, ...]:
    """Return the profiles that the settings name, completed from their config files; the default one first.

    Blocks: may ask the hub, and ``auto`` looks for a GPU. Raises :class:`EngineError` and :class:`StartupError`.
    """
    return tuple(complete_profile(profile) for profile in named_profiles(settings, find_devices))


def named_profiles(
    settings: Settings, find_devices: FindDevices = probe, find_gpu: FindNvidia = find_nvidia
) -> tuple[ModelProfile, ...]:
    """Return the profiles that the settings name as the catalog has them, without looking at their files.

    Blocks: ``auto`` looks for a GPU. Raises :class:`EngineError`, also if ``auto`` finds an NVIDIA card that torch
    cannot use: members would get the demo model's coloured shapes, and nobody would know why. Raises
    :class:`StartupError` if the settings contradict each other.
    """
    if settings.profiles and settings.profile != "auto" and settings.profiles != (settings.profile,):
        several = ",".join(settings.profiles)
        raise StartupError(
            f"PROFILE={settings.profile} and PROFILES={several} are both set: remove PROFILE, or PROFILES for one "
            "model."
        )
    names = settings.profiles or (_named_or_found(settings, find_devices, find_gpu),)
    weights = _weights(settings.model, names)
    profiles = tuple(find_profile(name, weights=weights.get(name)) for name in names)
    for profile in profiles:
        if sum(profile.title == other.title for other in profiles) > 1:
            raise StartupError(
                f"MODEL has two models that are called {profile.title}: rename one of the folders, so that members can "
                "tell them apart."
            )
    return profiles


def _named_or_found(settings: Settings, find_devices: FindDevices, find_gpu: FindNvidia) -> str:
    if settings.profile != "auto":
        return settings.profile
    if settings.device == "cpu":
        return CPU_PROFILE
    if settings.ray_address not in (None, "local"):
        return GPU_PROFILE  # this machine's devices are not those of the cluster
    report = find_devices(settings.device)
    name = CPU_PROFILE if report.chosen.kind == "cpu" else GPU_PROFILE
    if name == CPU_PROFILE and (fault := gpu_fault(report, find_gpu())) is not None:
        raise NotAvailable(f"{fault} To use the demo model on the CPU instead, set PROFILE={CPU_PROFILE}.")
    return name


def _weights(model: str | None, names: tuple[str, ...]) -> dict[str, str]:
    """Return what MODEL says by the name of a profile: a folder or hub id, or pairs of a name and one of these."""
    if not model:
        return {}
    if model.partition("=")[0].strip() not in PROFILES:
        if len(names) > 1:
            example = ",".join(f"{name}=/path/to/{name}" for name in names)
            raise StartupError(f"MODEL names one model and PROFILES {len(names)}: say which is which, as {example}.")
        return {names[0]: model}
    weights: dict[str, str] = {}
    for pair in model.split(","):
        name, sign, path = (part.strip() for part in pair.partition("="))
        if name not in PROFILES or not sign or not path or name in weights:
            raise StartupError(
                f"MODEL has {in_quotes(pair.strip(), 60)}: it takes pairs of a profile ({either(PROFILES)}) and a "
                "folder or hub id, each profile once, separated by commas."
            )
        weights[name] = str(Path(path).expanduser()) if path.startswith("~") else path
    return weights


def gpu_fault(report: DeviceReport, nvidia: NvidiaState) -> str | None:
    """Return the sentence that says why torch does not use the NVIDIA card here; None if it does, or there is none."""
    if report.hip is not None:  # a build for AMD's cards
        return None
    used = any(device.kind == "cuda" for device in report.devices)
    return what_to_fix(nvidia, report.torch, report.cuda, used=used)


def engine_config(settings: Settings, *profiles: ModelProfile) -> EngineConfig:
    """Return the engine's configuration for these models, the default one first."""
    return EngineConfig(
        profiles[0],
        settings.device,
        settings.dtype,
        settings.engine_cache_dir,
        batch_tokens=settings.batch_tokens,
        attention=settings.attention,
        compiled=settings.compiled,
        preview_decoder=settings.preview_decoder,
        worker=settings.worker,
        other_profiles=profiles[1:],
    )
