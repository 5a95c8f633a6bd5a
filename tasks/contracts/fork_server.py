"""Processes that are forked from a server which has the imports behind it."""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing.context import ForkServerContext

_FIRST = "tasks.contracts.first"


def fork_server() -> ForkServerContext:
    """Return where to start processes that are spared the imports of this one.

    The server ends with this process, and is the parent of what it forks: that ends with it once
    it has called `die_with_parent`.
    """
    context = multiprocessing.get_context("forkserver")
    loaded = [name for name in sys.modules if name.startswith("tasks.")]
    context.set_forkserver_preload([_FIRST, *loaded])
    return context
