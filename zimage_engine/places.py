"""The places of an engine's workers: which devices it uses, and which models each of them serves. Free of torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from zimage_engine.profiles import ModelProfile
from zimage_engine.types import DeviceNotFound

PLACES_MAX = 64
"""The most places that one text may name."""

_ONE, _ALL = "auto", "all"
_ENTRY = re.compile(r"(?P<device>[a-z]+(?::[0-9]{1,4})?)(?:\*(?P<count>[0-9]{1,4}))?(?:=(?P<models>.*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class DevicePlace:
    """Where one worker runs.

    ``name`` is unique within an engine, such as ``cuda:0``, ``cpu#1`` or ``10.0.0.5/cuda:0``. ``device`` is what torch
    calls the device, or ``auto``. ``models`` are the names of the profiles that it may serve; the first one is loaded
    first. ``threads`` is how many threads torch may use on the CPU; 0: as many as it likes, since it is the only place
    of its machine.

    ``share`` is how many places there are on the device, with this one. ``memory`` is how many bytes it may use of a
    GPU's own memory; 0: its share of those that are free when it is loaded. ``host_memory`` is how many it may use of
    its machine's; 0: all that are free then.
    """

    name: str
    device: str
    models: tuple[str, ...]
    threads: int = 0
    share: int = 1
    memory: int = 0
    host_memory: int = 0

    @property
    def has_part(self) -> bool:
        """True if there are others with which it shares its device's memory or its machine's."""
        return self.share > 1 or self.host_memory > 0

    def part_of(self, device_free: float | None, host_free: float) -> tuple[float, float]:
        """Return how many bytes this place may use of its device's memory and of the machine's, of those that are free.

        ``device_free`` is None for a device that uses the machine's memory.
        """
        host = min(host_free, self.host_memory or host_free)
        if device_free is None:
            return host, host
        return min(device_free, self.memory or device_free / self.share), host


def parse_places(text: str, profiles: Sequence[ModelProfile], found: Sequence[str] = ()) -> tuple[DevicePlace, ...]:
    """Return the places that a text in the syntax of the DEVICE setting names, at least one.

    - ``auto``: the fastest device. ``all``: every GPU that was ``found``, or the CPU if there is none.
    - ``cuda:0,cuda:1``: these devices. ``cpu*2``: two workers on the same device.
    - ``cuda:0=ONE,cuda:1=ONE+OTHER``: the models that each may serve. Without this it may serve all of them, and
      each place begins with the next one.

    ``found`` holds torch's names of the devices of this machine, the fastest first. Without it no name is compared with
    what there is, ``auto`` stays ``auto``, and ``all`` is not possible.

    Raises :class:`DeviceNotFound`, which says what is wrong with the text, in a sentence.
    """
    entries = [
        (device, count, models, _allowed(device, models, profiles)) for device, count, models in parse_entries(text)
    ]
    for profile in profiles:
        if not any(profile.name in allowed for *_, allowed in entries):
            entry = text.lower().split(",")[0].strip()
            raise DeviceNotFound(
                f"No device may serve the model {profile.name}: add it in DEVICE, like {entry}+{profile.name}."
            )
    places: list[DevicePlace] = []
    for device, count, models, allowed in entries:
        for name in _names(device, found):
            for number in range(count or 1):
                unique = name if count is None else f"{name}#{number + 1}"
                served = allowed if models else _rotated(allowed, len(places))
                places.append(DevicePlace(unique, name, served, share=count or 1))
    return tuple(places)


def share_threads(places: Sequence[DevicePlace], cores: int) -> tuple[DevicePlace, ...]:
    """Return the places with the machine's cores divided among them; a single one is left as it is."""
    if len(places) < 2:
        return tuple(places)
    return tuple(replace(place, threads=max(1, cores // len(places))) for place in places)


def share_memory(places: Sequence[DevicePlace], host: int, gpus: Mapping[str, int]) -> tuple[DevicePlace, ...]:
    """Return the places of a machine with its memory divided among them, and that of each GPU among those on it.

    ``host`` and ``gpus`` are the bytes that are free; a place that is alone may use all. It is done once, before the
    first of them is loaded: one that is loaded again later then plans as it did, although the others have taken theirs.
    """
    shared = []
    for place in places:
        memory = gpus.get(place.device, 0) // place.share if place.share > 1 else 0
        shared.append(replace(place, memory=memory, host_memory=host // len(places) if len(places) > 1 else 0))
    return tuple(shared)


def device_names(text: str, found: Sequence[str]) -> tuple[str, ...]:
    """Return torch's names of the devices that a text means, each once. Raises :class:`DeviceNotFound`.

    Those that it names are not compared with what was ``found``.
    """
    names: list[str] = []
    for device, _, _ in parse_entries(text):
        names += _names(device, found) if device in (_ONE, _ALL) else (device,)
    return tuple(dict.fromkeys(names))


def first_device(text: str) -> str:
    """Return the first device that a text in the syntax of DEVICE names; ``auto`` for ``all``."""
    device = parse_entries(text)[0][0]
    return _ONE if device == _ALL else device


def models_in(text: str) -> set[str]:
    """Return the models that a text in the syntax of DEVICE names."""
    return {name for *_, models in parse_entries(text) for name in models}


def without_models(text: str) -> str:
    """Return a text in the syntax of DEVICE without the models that it names."""
    return ",".join(entry.partition("=")[0] for entry in text.split(","))


def parse_entries(text: str) -> list[tuple[str, int | None, tuple[str, ...]]]:
    """Return the device of each entry, the number of workers on it (None if there is none), and its models.

    Raises :class:`DeviceNotFound`, which says what is wrong with the text, in a sentence.
    """
    entries = [_parse_entry(entry.strip()) for entry in text.lower().split(",")]
    for device, count, _ in entries:
        if device in (_ONE, _ALL) and (len(entries) > 1 or count is not None):
            raise DeviceNotFound(f"DEVICE={text[:60]} combines “{device}” with more: name each device instead.")
    devices = [device for device, _, _ in entries]
    for device in devices:
        if devices.count(device) > 1:
            raise DeviceNotFound(f"DEVICE names {device} twice: for two workers on it, write {device}*2.")
    workers = sum(count or 1 for _, count, _ in entries)
    if workers > PLACES_MAX:
        raise DeviceNotFound(f"DEVICE names {workers} workers; one engine may have {PLACES_MAX}.")
    return entries


def _parse_entry(entry: str) -> tuple[str, int | None, tuple[str, ...]]:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise DeviceNotFound(
            f"“{entry[:40]}” in DEVICE is not a device: write it like cpu, cuda:0, cpu*2 (two workers) or cuda:0=MODEL."
        )
    count = None if match["count"] is None else int(match["count"])
    if count == 0:
        raise DeviceNotFound(f"“{entry}” in DEVICE means no worker at all: write at least 1 after the *.")
    device = "cuda:0" if match["device"] == "cuda" else match["device"]
    models = () if match["models"] is None else tuple(name.strip() for name in match["models"].split("+"))
    return device, count, models


def _allowed(device: str, models: Sequence[str], profiles: Iterable[ModelProfile]) -> tuple[str, ...]:
    known = tuple(profile.name for profile in profiles)
    for name in models:
        if name not in known:
            raise DeviceNotFound(
                f"DEVICE gives {device} the model “{name[:40]}”, which this bot does not have; it has {_listed(known)}."
            )
    return tuple(dict.fromkeys(models)) or known


def _names(device: str, found: Sequence[str]) -> tuple[str, ...]:
    """Return torch's names of the devices that an entry means."""
    if device == _ALL:
        if not found:
            raise DeviceNotFound("DEVICE=all found no device on this machine: set DEVICE=cpu.")
        return tuple(name for name in found if name != "cpu") or ("cpu",)
    if device == _ONE:
        return (found[0] if found else _ONE,)
    if found and device not in found:
        raise DeviceNotFound(f"There is no device “{device}” here: DEVICE may name {_listed(found)}, or be auto.")
    return (device,)


def _rotated(models: tuple[str, ...], by: int) -> tuple[str, ...]:
    start = by % len(models)
    return models[start:] + models[:start]


def _listed(names: Sequence[str]) -> str:
    """Return names as a person lists them."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
