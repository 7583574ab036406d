"""What can go wrong in the playground, switched on and off while the bot runs: its device, Discord, a permission.

Connect them in this order, since a client has its engine before there is a world::

    device = DeviceFaults()
    client = create_client(settings, start_engine=device.start_engine)
    async with open_world(client) as world:
        switches = FaultSwitches(Faults(world, device))

All faults stay on when the bot is restarted with a client that is created with the same ``device``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Literal

from bot.playground.faulty_device import DeviceFaults
from bot.playground.faulty_discord import DiscordFaults
from bot.playground.world import World

FaultId = Literal["slow_device", "out_of_memory", "discord_unavailable", "permission_lost"]

_SECONDS_PER_UNIT = 1.0
_OUTAGE_SECONDS = 20.0


class Faults:
    """The faults by name, as context managers for the event loop: each restores at its end what it has changed.

    A fault that is on cannot be switched on again: that raises :class:`bot.playground.faulty_device.FaultOn`.
    """

    def __init__(self, world: World, device: DeviceFaults) -> None:
        self.device = device
        self.discord = DiscordFaults(world)

    def slow_device(self, seconds_per_unit: float = _SECONDS_PER_UNIT) -> AbstractContextManager[None]:
        """Have each unit, such as a step, take this much longer. See :meth:`DeviceFaults.slow`."""
        return self.device.slow(seconds_per_unit)

    def out_of_memory_on_next_picture(self) -> AbstractContextManager[None]:
        """Have the next picture that begins fail. See :meth:`DeviceFaults.out_of_memory`."""
        return self.device.out_of_memory()

    def discord_unavailable(self) -> AbstractContextManager[None]:
        """Have Discord answer 503 to everything that the bot sends. See :meth:`DiscordFaults.unavailable`."""
        return self.discord.unavailable()

    def permission_lost(self, permission: str = "attach_files") -> AbstractContextManager[None]:
        """Deny the bot a permission in the world's channel. See :meth:`DiscordFaults.permission_lost`."""
        return self.discord.permission_lost(permission)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault for the page: its name, what a member sees of it, and how it is switched on.

    ``seconds`` is after how long it is switched off by itself, None if never. ``spent`` returns True if it has done its
    work although it is still switched on.
    """

    id: FaultId
    title: str
    description: str
    enter: Callable[[Faults], AbstractContextManager[None]]
    seconds: float | None = None
    spent: Callable[[Faults], bool] = lambda _: False


FAULTS: dict[FaultId, Fault] = {
    fault.id: fault
    for fault in (
        Fault(
            "slow_device",
            "Slow device",
            "Every step takes a second longer: progress and previews crawl, and the time left grows with them.",
            Faults.slow_device,
        ),
        Fault(
            "out_of_memory",
            "Out of memory on the next picture",
            "The next picture that starts ends with a sentence that says so and costs nothing; the one after it works.",
            Faults.out_of_memory_on_next_picture,
            spent=lambda faults: not faults.device.memory_short,
        ),
        Fault(
            "discord_unavailable",
            f"Discord answers 503 for {_OUTAGE_SECONDS:.0f} seconds",
            "Progress stands still and commands get no answer; a picture that is ready meanwhile is posted once, by "
            "itself, within about a minute after Discord is back.",
            Faults.discord_unavailable,
            seconds=_OUTAGE_SECONDS,
        ),
        Fault(
            "permission_lost",
            "Permission lost",
            "The bot may no longer attach files in #pictures: new requests there are refused at once with a sentence "
            "that names the permission.",
            Faults.permission_lost,
        ),
    )
}
"""The faults of the page, in its order."""


class FaultSwitches:
    """Holds which faults are on. For the event loop."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._on: dict[FaultId, ExitStack] = {}

    @property
    def active(self) -> frozenset[FaultId]:
        """The ids of the faults that are on and not spent."""
        return frozenset(each for each in self._on if not FAULTS[each].spent(self._faults))

    def switch(self, fault_id: str, on: bool) -> None:  # noqa: FBT001 - the two states of a switch
        """Switch a fault on or off; does nothing if it is so already. Raises :class:`ValueError` for an unknown id."""
        fault = next((each for each in FAULTS.values() if each.id == fault_id), None)
        if fault is None:
            raise ValueError(f"There is no fault {fault_id!r}: there are {', '.join(FAULTS)}.")
        if on and fault.id in self.active:
            return
        self._switch_off(fault)  # a spent one, too, which is switched on again
        if on:
            self._switch_on(fault)

    def close(self) -> None:
        """Switch off all faults."""
        for fault in FAULTS.values():
            self._switch_off(fault)

    def _switch_on(self, fault: Fault) -> None:
        with ExitStack() as stack:
            stack.enter_context(fault.enter(self._faults))
            if fault.seconds is not None:
                timer = asyncio.get_running_loop().call_later(fault.seconds, self._switch_off, fault)
                stack.callback(timer.cancel)
            self._on[fault.id] = stack.pop_all()

    def _switch_off(self, fault: Fault) -> None:
        if fault.id in self._on:
            self._on.pop(fault.id).close()
