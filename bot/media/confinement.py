"""Takes from the decoder child everything that it does not need before it parses a stranger's bytes.

Imports only the standard library. No step is required: containers forbid user namespaces, old kernels have no
Landlock, and macOS and Windows have neither. :func:`confine` returns what holds, so that the parent can log the rest.
"""

from __future__ import annotations

import ctypes
import os
import sys
from enum import IntFlag
from pathlib import Path

if sys.platform != "win32":
    import resource

_NOBODY = 65534

# From linux/prctl.h, linux/sched.h and linux/landlock.h. These system calls have the same numbers on all machines.
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_SIGKILL = 9

_FILE_RIGHTS = ((1, 13), (2, 14), (3, 15), (5, 16))
"""The version of Landlock, and how many rights on files it knows from that version on."""
_NETWORK_VERSION, _NETWORK_RIGHTS = 4, 0b11
_SCOPES_VERSION, _SCOPES = 6, 0b11
"""Connecting to abstract Unix sockets of other processes, and sending signals to them."""


class Protection(IntFlag):
    """What a child cannot do any more."""

    MEMORY = 1
    """Allocate more than its limit."""
    DESCRIPTORS = 2
    """Open a file, a socket or a pipe: it gets no new file descriptor."""
    PROCESSES = 4
    """Start a process or a thread."""
    NETWORK = 8
    """See a network: it has one of its own, without devices."""
    FILES = 16
    """Reach a file by its path, read another process's memory or, in newer versions of Linux, send it a signal."""
    PRIVATE = 32
    """Be read by other processes of the same user: the bot's pipes are all that leads to it."""
    ORPHAN = 64
    """Outlive its parent."""


ALL = Protection(127)


def confine(memory: int, seconds: int) -> Protection:
    """Limit this process to ``memory`` bytes beyond what it has now and ``seconds`` of CPU time.

    Returns what holds. Afterwards this process can neither open nor import anything.
    """
    if sys.platform == "win32":
        return Protection(0)
    memory += _address_space()
    root = os.geteuid() == 0
    held = Protection(0)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
        held |= _leave_network(libc, root=root) | _close_files(libc)
        if root:
            root = not _become_nobody()
            libc.unshare(_CLONE_NEWUSER)
        # After these, because changing the user resets both.
        if _prctl(libc, _PR_SET_DUMPABLE, 0):
            held |= Protection.PRIVATE
        # A parent that has ended before this has closed the pipe for the answer.
        if _prctl(libc, _PR_SET_PDEATHSIG, _SIGKILL):
            held |= Protection.ORPHAN
    held |= _limit_resources(memory, seconds)
    return held & ~Protection.PROCESSES if root else held


def _address_space() -> int:
    """Return the bytes of address space that this process has; 0 if the system does not tell.

    Locale archives alone take 200 MB on some systems.
    """
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> bool:
    """Return whether the system has set an option of this process."""
    zero = ctypes.c_ulong(0)
    return bool(libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero) == 0)


def _leave_network(libc: ctypes.CDLL, *, root: bool) -> Protection:
    """Move to an empty network, and to a user namespace, from which no other process's memory can be read.

    Root enters its user namespace later: inside one it could not become another user.
    """
    spaces = _CLONE_NEWNET | _CLONE_NEWIPC
    if libc.unshare(ctypes.c_int(spaces if root else spaces | _CLONE_NEWUSER)) == 0:
        return Protection.NETWORK
    if not root:
        libc.unshare(ctypes.c_int(_CLONE_NEWUSER))
    return Protection(0)


def _close_files(libc: ctypes.CDLL) -> Protection:
    """Forbid all access to files by Landlock; what is open stays open."""
    create, restrict = ctypes.c_long(_LANDLOCK_CREATE_RULESET), ctypes.c_long(_LANDLOCK_RESTRICT_SELF)
    version = libc.syscall(create, None, ctypes.c_size_t(0), ctypes.c_uint(_LANDLOCK_CREATE_RULESET_VERSION))
    if version < 1:
        return Protection(0)
    files = max(rights for since, rights in _FILE_RIGHTS if since <= version)
    network = _NETWORK_RIGHTS if version >= _NETWORK_VERSION else 0
    scopes = _SCOPES if version >= _SCOPES_VERSION else 0
    # struct landlock_ruleset_attr: older versions take one that is longer than theirs if the rest is 0.
    rules = (ctypes.c_uint64 * 3)(2**files - 1, network, scopes)
    ruleset = libc.syscall(create, rules, ctypes.c_size_t(ctypes.sizeof(rules)), ctypes.c_uint(0))
    if ruleset < 0:
        return Protection(0)
    closed = libc.syscall(restrict, ctypes.c_int(ruleset), ctypes.c_uint(0)) == 0
    os.close(ruleset)
    return Protection.FILES if closed else Protection(0)


def _become_nobody() -> bool:
    """Change root's user to nobody, so that limits apply and files of root are out of reach. Returns whether it is."""
    try:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    except OSError:
        return False  # a container may have no other user
    return True


def _limit_resources(memory: int, seconds: int) -> Protection:
    """Set limits that this process cannot raise again."""
    held = Protection(0)
    for kind, limit, protection in (
        (resource.RLIMIT_AS, memory, Protection.MEMORY),
        (resource.RLIMIT_CPU, seconds, Protection(0)),
        (resource.RLIMIT_FSIZE, 0, Protection(0)),
        (resource.RLIMIT_CORE, 0, Protection(0)),
        # Not even a socket can be made without a free descriptor; those that are open stay open.
        (resource.RLIMIT_NOFILE, 0, Protection.DESCRIPTORS),
        (resource.RLIMIT_NPROC, 0, Protection.PROCESSES),
    ):
        try:
            resource.setrlimit(kind, (limit, limit))
        except (ValueError, OSError):
            continue  # macOS refuses every value of RLIMIT_AS; the parent's timeout and the limit of pixels hold there
        held |= protection
    return held
