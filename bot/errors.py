"""The errors a person can meet, besides the engine's own."""

from __future__ import annotations

import errno
import sqlite3
from enum import IntEnum
from typing import ClassVar

from zimage_engine.hub import HubUnreachable
from zimage_engine.types import DeviceLost, InvalidRequest, OriginalUnreadable, WorkerLost


class ExitStatus(IntEnum):
    """The statuses with which the program ends when it does not end well: those of BSD's ``sysexits.h``.

    A supervisor starts the program again after all but USAGE and CONFIGURATION, which nobody but a person can change.
    """

    FOUND = 1
    """``doctor`` found something to fix, or ``verify`` a difference."""
    USAGE = 64
    """The command line asks for what does not exist or cannot be done."""
    NETWORK = 69
    """Discord or the Hugging Face Hub cannot be reached."""
    DEVICE_LOST = 70
    """The device stopped working for good; a new process may use it again."""
    TEMPORARY = 75
    """Something that passes by itself: another bot uses the data folder, or Discord allows no more sessions today."""
    CONFIGURATION = 78
    """A setting, the token, the weights, the device or the database is not usable."""


class Refusal(Exception):
    """The bot does not do what was asked; the message is one kind, exact sentence for the member."""

    code: ClassVar[str] = "refused"


class NotHere(Refusal):
    """The member may not use the bot here, which will not change soon. ``in_public`` is the sentence for a channel."""

    def __init__(self, sentence: str, in_public: str | None = None) -> None:
        super().__init__(sentence)
        self.in_public = in_public or sentence


RESTARTING = "I'm restarting; please ask again in a minute."
"""What a member is told in the last moment before the program ends, when nothing can be kept any more."""


class Restarting(Refusal):
    """The program is about to end, and can neither do nor keep anything."""

    def __init__(self) -> None:
        super().__init__(RESTARTING)


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error of the operating system or SQLite says that the disk is full, or a quota used up."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    code = getattr(error, "sqlite_errorcode", 0)
    # The index of the write-ahead log is a file of its own, for which SQLite has another code.
    return code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE


def is_database_busy(error: BaseException) -> bool:
    """Return whether an error of SQLite says that another process held the database locked for too long."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class StartupError(Exception):
    """The program cannot start; the message tells the operator in one sentence what to do."""

    exit_status: ClassVar[ExitStatus] = ExitStatus.CONFIGURATION


class WrongUsage(StartupError):
    """The command line asks for what cannot be done."""

    exit_status = ExitStatus.USAGE


class NetworkDown(StartupError):
    """Discord or the Hugging Face Hub cannot be reached."""

    exit_status = ExitStatus.NETWORK


class TemporaryFault(StartupError):
    """The program cannot start now, but can later without anybody's doing."""

    exit_status = ExitStatus.TEMPORARY


class DeviceGone(StartupError):
    """The device stopped working for good: a supervisor must restart the program."""

    exit_status = ExitStatus.DEVICE_LOST


def status_of(error: Exception) -> ExitStatus:
    """Return the status with which the program ends for this error of the bot or the engine."""
    match error:
        case StartupError():
            return error.exit_status
        case HubUnreachable():
            return ExitStatus.NETWORK
        case DeviceLost() | WorkerLost():
            return ExitStatus.DEVICE_LOST
        case Refusal() | InvalidRequest() | OriginalUnreadable():
            return ExitStatus.USAGE
    return ExitStatus.CONFIGURATION


def from_engine(error: Exception) -> StartupError:
    """Return the engine's error as one that ends the program, with its sentence and status."""
    status = status_of(error)
    kind = next((each for each in (NetworkDown, DeviceGone, WrongUsage) if each.exit_status is status), StartupError)
    return kind(str(error))
