"""How commands end if a person can fix what is wrong: one sentence on standard error, and a status.

What ``--help`` needs not is imported inside the functions: it has to answer at once.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer

from bot.errors import Refusal, StartupError, status_of
from zimage_engine.types import EngineError

if TYPE_CHECKING:
    from bot.settings import Settings

_LAST_SECONDS = 1.0
T = TypeVar("T")
Stop = Callable[[str, int], NoReturn]
"""Says one sentence and ends the program with a status."""


def settings_or_explain(**overrides: Any) -> Settings:
    """Return the settings; what is wrong with them ends the program."""
    from bot.settings import read_settings  # noqa: PLC0415 - `--help` answers without pydantic

    if "profile" in overrides:
        overrides = {"profiles": (), **overrides}  # --profile outweighs PROFILES, too
    return or_explain(lambda: read_settings(**overrides))


def or_explain(action: Callable[[], T], end: Stop | None = None) -> T:
    """Return what ``action`` returns; an error that a person can fix ends the program with its sentence and status."""
    try:
        return action()
    except (StartupError, Refusal, EngineError) as error:
        (end or stop)(str(error), status_of(error))


def stop(sentence: str, status: int) -> NoReturn:
    """Print the sentence, and end the program with this status."""
    typer.echo(sentence, err=True)
    sys.exit(status)


def stop_in_json(sentence: str, status: int) -> NoReturn:
    """Log the sentence as JSON, and end the program with this status."""
    from bot.logs import log_stop  # noqa: PLC0415 - `--help` answers without pydantic

    log_stop(sentence, int(status))
    sys.exit(status)


def end_now(status: int) -> NoReturn:
    """End the process with this status without waiting for threads, a second from now at the latest.

    Some of the hub's library may have gigabytes to download or attempts to repeat, and one that runs torch while the
    interpreter ends aborts the process, with a status of its own.
    """

    def end() -> None:
        with contextlib.suppress(OSError, ValueError):  # its terminal may be gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)

    if threading.active_count() == 1:
        sys.exit(status)
    timer = threading.Timer(_LAST_SECONDS, end)
    timer.daemon = True
    timer.start()
    atexit._run_exitfuncs()  # noqa: SLF001 - what sys.exit would do after waiting
    end()
    raise AssertionError
