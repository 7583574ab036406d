"""Finds this machine's devices in a short child process, so that its caller never imports torch.

``python -m zimage_engine.device.probe [device]`` prints a :class:`DeviceReport` as one line of JSON. Importing torch
takes seconds and half a GB, and a CUDA context stays until its process ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

from zimage_engine.device.memory import DeviceKind
from zimage_engine.places import device_names
from zimage_engine.types import DeviceNotFound, EngineError, NotAvailable, OutOfMemory

_SECONDS = 60.0
_ERRORS: dict[str, type[EngineError]] = {error.code: error for error in (DeviceNotFound, OutOfMemory)}


@dataclass(frozen=True, slots=True)
class Device:
    """A device by torch's ``name``, such as ``cuda:0``, and its ``title`` for people. Memory in bytes.

    The CPU and Apple's GPU have the host's memory.
    """

    name: str
    kind: DeviceKind
    title: str
    memory_total: int
    memory_free: int
    bfloat16: bool


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """All ``devices``, the fastest kind first, the one that was ``chosen``, and ``others`` that are to be used, too.

    ``torch`` is its version; ``cuda`` and ``hip`` are the versions that it was built for, None if it was not.
    """

    chosen: Device
    devices: tuple[Device, ...]
    host_memory_free: int
    torch: str
    cuda: str | None
    hip: str | None
    others: tuple[Device, ...] = ()


def probe(name: str = "auto", *, seconds: float = _SECONDS) -> DeviceReport:
    """Return the devices of this machine; ``name`` chooses some as the DEVICE setting does. Blocks for some seconds.

    Raises :class:`DeviceNotFound` if there is no device of a name, :class:`OutOfMemory` if it has no memory left,
    and :class:`NotAvailable` if torch cannot be used or does not answer within ``seconds``.
    """
    command = [sys.executable, "-m", "zimage_engine.device.probe", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True)  # noqa: S603
        answer: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    except subprocess.TimeoutExpired as error:
        raise NotAvailable(
            f"The devices of this machine did not answer within {seconds:g} s: restart it, or set DEVICE=cpu."
        ) from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip() or f"exit status {error.returncode}").splitlines()[-1]
        raise NotAvailable(f"torch cannot be used here ({reason[:200]}): install zimage-bot again.") from error
    except ValueError as error:
        raise NotAvailable("The devices of this machine cannot be read: set DEVICE=cpu.") from error
    if "error" in answer:
        raise _ERRORS[answer["error"]](answer["sentence"])
    devices = tuple(Device(**device) for device in answer.pop("devices"))
    others = tuple(Device(**device) for device in answer.pop("others"))
    return DeviceReport(Device(**answer.pop("chosen")), devices, **answer, others=others)


def _examine(name: str) -> DeviceReport:
    """Examine the devices in this process."""
    import psutil  # noqa: PLC0415 - in the child alone, as the following
    import torch  # noqa: PLC0415

    from zimage_engine.device import devices  # noqa: PLC0415

    host = psutil.virtual_memory()

    def examined(device: torch.device) -> Device:
        free, total, bfloat16 = host.available, host.total, True
        if device.type == "cuda":
            free, total = torch.cuda.mem_get_info(device)
            with torch.cuda.device(device):
                bfloat16 = torch.cuda.is_bf16_supported()
        return Device(str(device), devices.kind_of(device), devices.title_of(device), total, free, bfloat16)

    names = device_names(name, [str(device) for device in devices.all_devices()])
    chosen, *others = [examined(devices.pick_device(each)) for each in names]
    return DeviceReport(
        chosen=chosen,
        others=tuple(others),
        devices=tuple(map(examined, devices.all_devices())),
        host_memory_free=host.available,
        torch=torch.__version__,
        cuda=torch.version.cuda,
        hip=torch.version.hip,
    )


def _main() -> None:
    try:
        answer = asdict(_examine(sys.argv[1] if len(sys.argv) > 1 else "auto"))
    except EngineError as error:
        answer = {"error": error.code, "sentence": str(error)}
    print(json.dumps(answer))  # noqa: T201 - the answer


if __name__ == "__main__":
    _main()
