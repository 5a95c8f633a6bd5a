"""A process that ends when the one that started it does, however that one ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def die_with_parent(parent: int | None = None, by: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to end this process when its parent ends (Linux; elsewhere nothing).

    Call it first of all: imports take seconds, in which the parent may go. If it is gone already,
    this process ends here. The kernel means the *thread* that started this process, so a child is
    to be started by the main thread, or by one that waits for it.

    Args:
        parent: its number, where it is known. Otherwise a parent of another session is taken
            for whoever adopts orphans, unless this process has begun a session of its own.
        by: the signal. A process with children of its own that it ends on SIGTERM is better
            asked with that.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by)
    if _is_orphan(parent):
        os.kill(os.getpid(), by)


def _is_orphan(parent: int | None) -> bool:
    now, session = os.getppid(), os.getsid(0)
    if parent is not None:
        return now != parent
    try:
        return session != os.getpid() and os.getsid(now) != session
    except ProcessLookupError:
        return True
