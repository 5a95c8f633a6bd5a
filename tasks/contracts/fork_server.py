"""Processes that are forked from a server which has the imports behind it."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
from collections.abc import Sequence
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.context import ForkServerContext
from typing import Any

from tasks.contracts.parent import die_with_parent

_FIRST = "tasks.contracts.first"
_LAST = "tasks.contracts.last"
_LATER = "torch._dynamo"  # which every process would import with its first optimiser, in seconds


def fork_server() -> ForkServerContext:
    """Return where to start processes that are spared the imports of this one.

    The server ends with this process, and is the parent of what it forks: that ends with it once
    it has called `die_with_parent`.
    """
    context = multiprocessing.get_context("forkserver")
    loaded = [name for name in sys.modules if name.startswith("tasks.")]
    later = [_LATER] if "torch" in sys.modules else []
    context.set_forkserver_preload([_FIRST, *loaded, *later, _LAST])
    return context


def fork_the_server() -> None:
    """Start the server as a fork of this process: what is imported is shared, not imported again.

    PyTorch's import takes seconds and 270 MB. Call it right after the imports: a fork has what its
    parent had open and locked. Where this process has other threads of Python, and on other
    systems than Linux, nothing is done, and the server will be a process of its own imports.
    """
    if sys.platform != "linux" or threading.active_count() > 1:
        return
    fork_server()
    resource_tracker.ensure_running()  # by a process of its own: the server alone is forked
    gc.collect()
    gc.freeze()  # or the collector would write into what is shared, here as in `_LAST`
    started_anew, util.spawnv_passfds = util.spawnv_passfds, _forked
    try:
        forkserver.ensure_running()
    finally:
        util.spawnv_passfds = started_anew


def _forked(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
    """Fork in place of starting Python anew to do ``args[-1]``; return the child's number."""
    parent, command = os.getpid(), args[-1]
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    try:
        die_with_parent(parent)
        first = 3
        for descriptor in sorted(passfds):
            os.closerange(first, descriptor)
            first = descriptor + 1
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))
        # what was copied is locked, and knows this server as its own
        vars(forkserver._forkserver).update(vars(forkserver.ForkServer()))
        exec(command, {})
    except Exception:
        sys.excepthook(*sys.exc_info())  # as a new Python would tell it
    finally:
        os._exit(1)
