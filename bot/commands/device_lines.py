"""A line for each device of the engine, for ``/ping`` and ``/owner health``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.inert import inert
from bot.plurals import counted
from zimage_engine.profiles import ModelProfile
from zimage_engine.stats import DeviceStats

_SHOWN = 8
_REASON_LIMIT = 100


def device_lines(
    devices: Sequence[DeviceStats], profiles: Sequence[ModelProfile], *, with_reasons: bool = False
) -> list[str]:
    """Return a line for each device, those that do not work first; none for a single device that works.

    ``with_reasons`` adds why a device has failed, for those who can do something about it.
    """
    if len(devices) < 2:
        return []
    titles = {profile.name: profile.title for profile in profiles}
    order = sorted(devices, key=lambda device: device.state == "ready")
    lines = [_line(device, titles, with_reasons=with_reasons) for device in order[:_SHOWN]]
    return [*lines, f"{len(order) - _SHOWN} more devices"] if len(order) > _SHOWN else lines


def _line(device: DeviceStats, titles: Mapping[str, str], *, with_reasons: bool) -> str:
    models = ", ".join(title for name, title in titles.items() if name in device.models)
    parts = [f"`{device.name}` {device.title}: {device.state}"]
    if device.stage:
        parts.append(device.stage)
    if models:
        parts.append(models)
    if device.running:
        parts.append(f"{device.running} being generated")
    if device.restarts:
        parts.append(counted(device.restarts, "restart"))
    if with_reasons and device.failure:
        parts.append(inert(device.failure, _REASON_LIMIT))
    return " · ".join(parts)
