"""Ends a child process with everything that it may have started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import Process

import structlog

log = structlog.get_logger(__name__)

KILLED = 1 if sys.platform == "win32" else -signal.SIGKILL
"""The exit status of a child that was killed, by this process or for lack of memory."""

_EXIT_SECONDS = 1.0
_PIPE_SECONDS = 5.0
_CHUNK = 2**20


async def reap(process: Process) -> None:
    """Kill the child unless it is exiting, and its group, and wait until it has exited and its pipes are closed.

    The child must have been started in a session of its own, with a pipe for its output. It is killed even if this
    call is cancelled.
    """
    assert process.stdout is not None
    # A child that has closed its output is about to exit; killing it at that moment would hide its status from asyncio.
    patience = _EXIT_SECONDS if process.stdout.at_eof() else 0.0
    exited = asyncio.create_task(_wait_for_exit(process, process.stdout))
    try:
        await asyncio.wait([exited], timeout=patience)
    finally:
        _kill_group(process)
    await asyncio.wait([exited], timeout=_PIPE_SECONDS)
    if not exited.done():
        # Something that the child started has left its group and holds the pipe.
        exited.cancel()
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio has no public way
        log.warning("decoder_left_a_process", child=process.pid)


def _kill_group(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


async def _wait_for_exit(process: Process, stream: asyncio.StreamReader) -> None:
    """Wait until the child has exited, reading what is left of its output."""
    while await stream.read(_CHUNK):
        pass  # asyncio closes a pipe only once it has been read to its end
    await process.wait()
