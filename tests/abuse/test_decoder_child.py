"""A file that takes over the decoder: what the child can still do that it commands then."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import PIL
import psutil
import pytest

from bot.errors import Refusal
from bot.media import child_processes, untrusted_images
from bot.media.confinement import Protection
from bot.media.decoding import STARTED, command
from bot.media.untrusted_images import ImageReader
from tests.helpers.corpus import assert_is_the_picture, picture, saved
from tests.helpers.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems close little of it")

MEMORY = 270 * 2**20

HOSTILE = """
import ctypes, json, os, resource, socket, subprocess, sys, threading
from PIL import Image, ImageFile
from bot.media import confinement

if DESCRIPTORS:
    limit = resource.setrlimit
    confinement.resource.setrlimit = lambda kind, value: kind == resource.RLIMIT_NOFILE or limit(kind, value)

def connect(family, address):
    socket.socket(family).connect(address)

def raised():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_NPROC, (64, 64))

def without_descriptors():
    os.close(2)
    connect(socket.AF_INET, ("127.0.0.1", PORT))

ATTACKS = {
    "connect to a port": lambda: connect(socket.AF_INET, ("127.0.0.1", PORT)),
    "connect with a descriptor that it had": without_descriptors,
    "connect to an abstract socket": lambda: connect(socket.AF_UNIX, "\\0zimage-bot-test"),
    "read a file": lambda: open("/etc/passwd").read(),
    "read the folder": lambda: os.listdir("/"),
    "write a gigabyte": lambda: open("/tmp/zimage-bot-test", "wb").write(bytes(2**20)),
    "read the parent's environment": lambda: open(f"/proc/{PARENT}/environ").read(),
    "read the parent's memory": lambda: open(f"/proc/{PARENT}/mem", "rb").read(1),
    "run a program": lambda: subprocess.run(["/bin/true"]),
    "fork": lambda: [os._exit(0) for _ in range(100) if os.fork() == 0] or "forked 100 times",
    "start a thread": lambda: threading.Thread(target=print).start(),
    "signal the parent": lambda: os.kill(PARENT, 0),
    "take memory": lambda: bytearray(400 * 2**20),
    "raise its limits": raised,
    "become root": lambda: os.setuid(0) or os.getuid(),
}

class Hostile(ImageFile.ImageFile):
    format = "BMP"

    def _open(self):
        done = {}
        for name, attack in ATTACKS.items():
            try:
                done[name] = str(attack())[:40]
            except BaseException as error:
                done[name] = type(error).__name__
        libc = ctypes.CDLL(None)
        facts = {
            "environment": dict(os.environ), "session": os.getsid(0) == os.getpid(),
            "dumpable": libc.prctl(3, 0, 0, 0, 0), "no new rights": libc.prctl(39, 0, 0, 0, 0),
            "core": resource.getrlimit(resource.RLIMIT_CORE), "cpu": resource.getrlimit(resource.RLIMIT_CPU),
            "files": resource.getrlimit(resource.RLIMIT_FSIZE),
        }
        report = json.dumps({"done": done, "facts": facts}).encode()
        self._mode, self._size, self.tile = "RGB", (1000, 3), []
        self.im = Image.frombytes("RGB", self.size, report.ljust(9000)).im

    def load(self):
        return None

Image.register_open("BMP", Hostile)
"""


NEEDED = {
    "connect to a port": Protection.NETWORK,
    "connect with a descriptor that it had": Protection.NETWORK,
    "connect to an abstract socket": Protection.NETWORK,
    "read a file": Protection.FILES,
    "read the folder": Protection.FILES,
    "write a gigabyte": Protection.FILES,
    "read the parent's environment": Protection.FILES,
    "read the parent's memory": Protection.FILES,
    "run a program": Protection.PROCESSES,
    "fork": Protection.PROCESSES,
    "start a thread": Protection.PROCESSES,
    "signal the parent": Protection.FILES,
    "take memory": Protection.MEMORY,
    "raise its limits": Protection(0),
    "become root": Protection(0),
}
"""What stops each attack besides the limit on descriptors."""

REFUSED = {
    "OSError",
    "PermissionError",
    "BlockingIOError",
    "MemoryError",
    "RuntimeError",
    "ValueError",
    "ConnectionRefusedError",
}


def held_here() -> Protection:
    """Return the protections that this system has."""
    shown = subprocess.run(command("PNG", 10**6, MEMORY, 3), input=b"", env={}, capture_output=True, check=True)
    return Protection(STARTED.unpack(shown.stdout[: STARTED.size])[1])


Report = Callable[[bool], Awaitable[dict[str, Any]]]


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Report]:
    """Return a function that has the child open a BMP with a decoder that attacks, and returns what that found.

    The function's argument says whether the decoder may have descriptors, to see what the other protections do.
    """
    real = Path(PIL.__file__)
    (tmp_path / "PIL").mkdir()
    extended = real.read_text().replace("from __future__ import annotations", "")
    (tmp_path / "PIL" / "__init__.py").write_text(f"__path__.append({str(real.parent)!r})\n{extended}")
    monkeypatch.syspath_prepend(str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0zimage-bot-test")
        abstract.listen()

        async def report(descriptors: bool) -> dict[str, Any]:  # noqa: FBT001 - the only one
            known = f"DESCRIPTORS, PORT, PARENT = {descriptors}, {listening.getsockname()[1]}, {os.getpid()}\n"
            (tmp_path / "PIL" / "BmpImagePlugin.py").write_text(known + HOSTILE)
            decoded = await ImageReader().read(b"BM" + bytes(12) + b"\x28" + bytes(50), 1)
            found: dict[str, Any] = json.loads(decoded.image.data.decode())
            return found

        yield report


@pytest.mark.parametrize("descriptors", [False, True], ids=["no descriptors", "descriptors"])
async def test_a_decoder_that_was_taken_over_reaches_nothing(hostile: Report, descriptors: bool) -> None:  # noqa: FBT001
    found = await hostile(descriptors)
    held = held_here()
    expected = {name: outcome for name, outcome in found["done"].items() if NEEDED[name] in held}
    if descriptors:
        del expected["raise its limits"]
    assert {name for name, outcome in expected.items() if outcome not in REFUSED} == set()
    facts = found["facts"]
    assert set(facts["environment"]) <= {"LC_CTYPE"}, "Python sets this one itself"
    assert facts["session"]
    assert (facts["dumpable"], facts["no new rights"]) == (0, 1)
    assert (facts["core"], facts["files"], facts["cpu"]) == ([0, 0], [0, 0], [3, 3])


async def test_what_a_decoder_started_is_killed_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {tmp_path / 'started'}\nprintf '\\006\\177'\nexit 0\n")
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(Refusal):
        await ImageReader(seconds=0.3).read(saved(picture(), "PNG"), 1)
    await until(lambda: not running(int((tmp_path / "started").read_text())), 5)


async def test_a_process_that_left_the_group_does_not_hold_the_bot_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(child_processes, "_PIPE_SECONDS", 0.1)
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nsetsid sleep 5 &\nprintf '\\006\\177'\nexit 0\n")
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(Refusal):
        await ImageReader(seconds=0.3).read(saved(picture(), "PNG"), 1)
    assert "decoder_left_a_process" in caplog.text


async def test_a_decoder_dies_with_its_parent() -> None:
    if Protection.ORPHAN not in held_here():
        pytest.skip("this system does not do that")
    reading, writing = os.pipe()  # the test keeps the child's input open
    line = command("PNG", 10**6, MEMORY, 3)
    start = f"import subprocess, sys; print(subprocess.Popen({line!r}, env={{}}).pid, end='')"
    starter = subprocess.Popen(
        [sys.executable, "-c", f"{start}; sys.stdout.flush(); import time; time.sleep(60)"],
        stdin=reading,
        stdout=subprocess.PIPE,
    )
    os.close(reading)
    assert starter.stdout is not None
    answer = b""
    while STARTED.pack(b"\6", held_here()) not in answer:
        answer += os.read(starter.stdout.fileno(), 100)
    child = int(answer.strip(b"\6\0" + bytes([held_here()])).decode())
    assert running(child)
    starter.kill()
    starter.wait()
    await until(lambda: not running(child), 5)
    os.close(writing)
    starter.stdout.close()


@pytest.mark.parametrize("system", ["darwin", "forbidden"])
async def test_decoding_works_where_nothing_can_be_closed(
    system: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lacking = {
        "darwin": "c.sys = type('', (), {'platform': 'darwin'})",
        "forbidden": "f = lambda *_: -1; c.ctypes.CDLL = lambda _: type('', (), dict(prctl=f, unshare=f, syscall=f))",
    }[system]

    def changed(*arguments: Any) -> list[str]:
        line = command(*arguments)
        at = line.index("-c") + 1
        line[at] = line[at].replace("main()", f"import bot.media.confinement as c; {lacking}; main()")
        return line

    monkeypatch.setattr(untrusted_images, "command", changed)
    untrusted_images._tell_what_is_missing.cache_clear()
    for _ in range(2):
        assert_is_the_picture(await ImageReader().read(saved(picture(), "PNG"), 1))
    untrusted_images._tell_what_is_missing.cache_clear()
    (told,) = [line for line in caplog.messages if "decoder_less_protected" in line]
    assert all(name in told for name in ("NETWORK", "FILES", "PRIVATE", "ORPHAN"))


def running(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False
