"""What is said of a process that a signal ended: the kernel's kill for want of memory above all."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tasks.contracts.errors import UserError

_CONTROL = Path("/sys/fs/cgroup")
_GB = 1e9


def killed(thing: str, by: int | None, mend: str, most: int = 0) -> UserError:
    """Return the error for a process that a signal ended.

    Args:
        thing: what was killed.
        by: number of the signal; None if it is not told, as the parent of a pool's process is not.
        mend: how it would hold less memory, and what to do then.
        most: bytes that it was seen to hold; 0 if nobody looked.
    """
    if by not in (None, signal.SIGKILL):
        return UserError(thing, f"ended by signal {by} ({_name(by)})", "Run it again")
    ending = "killed" if by is None else f"killed by signal {by}"
    seen = f"It was seen to hold {most / _GB:.1f} GB; this" if most else "This"
    reason = f"{ending}; was the memory exhausted? {seen} machine has {memory() / _GB:.1f} GB"
    return UserError(thing, reason, mend)


def memory() -> int:
    """Return the bytes of memory that processes may hold here: the machine's, or a limit below."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_limits()])


def held(session: int) -> int:
    """Return the bytes of memory that all processes of a session hold by themselves now.

    Pages of files, such as libraries and mapped images, are not counted: the kernel takes those
    back when it needs them. 0 where the kernel tells nothing (it is Linux that does).
    """
    pages = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if _session(process) == session:
                _, resident, shared, *_ = (process / "statm").read_text().split()
                pages += int(resident) - int(shared)
        except (OSError, ValueError):  # it has ended meanwhile
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


def _session(process: Path) -> int:
    return int((process / "stat").read_text().rpartition(")")[2].split()[3])


def _limits() -> Iterator[int]:
    """Yield the limits of the control groups that this process is in, outermost last."""
    try:
        own = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2]
    except OSError:
        return
    group = _CONTROL / own.lstrip("/")
    for one in (group, *group.parents):
        try:
            yield int((one / "memory.max").read_text())
        except (OSError, ValueError):  # not there, or `max`
            continue


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "of no name"
