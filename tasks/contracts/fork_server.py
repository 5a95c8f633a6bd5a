"""Processes that are forked from a server which has the imports behind it."""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing.context import ForkServerContext

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
