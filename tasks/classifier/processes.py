"""One way to spread fits over the cores, for every stage that fits classifiers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import joblib
from joblib.externals.loky.backend.context import set_start_method
from joblib.externals.loky.process_executor import TerminatedWorkerError

from tasks.contracts.fork_server import fork_server
from tasks.contracts.killed import killed
from tasks.contracts.machine import one_thread
from tasks.contracts.parent import die_with_parent

Result = TypeVar("Result")
_SIGNAL = re.compile(r"SIG\w+\(-(\d+)\)")


def fit_in_processes(
    task: Callable[..., Result], jobs: Iterable[tuple[Any, ...]]
) -> Iterator[Result]:
    """Call a task with the arguments of each job, in worker processes; yield results in order.

    One process a core and one thread a process: sums split over threads round differently, so
    the number of cores changes the time and not the bytes. Workers end with this process.
    Memory-mapped arrays among the arguments are sent as the names of their files.

    Args:
        task: a function of a module, not a closure.
        jobs: taken one by one, so that they need not all be held.

    Raises:
        UserError: a worker was killed.
    """
    calls = (joblib.delayed(_alone)(task, *job) for job in jobs)
    set_start_method(fork_server().get_start_method(), force=True)
    several = joblib.Parallel(
        n_jobs=joblib.cpu_count(),
        return_as="generator",
        max_nbytes=None,  # other arrays are sent: who owns a file of theirs is not told to a fork
        initializer=die_with_parent,
    )
    try:
        yield from several(calls)
    except TerminatedWorkerError as error:
        by = _SIGNAL.search(str(error))
        raise killed(
            "a process that fits classifiers",
            int(by[1]) if by else None,
            "Set LOKY_MAX_CPU_COUNT to fewer processes at once, then run again",
        ) from None


def _alone(task: Callable[..., Result], *arguments: Any) -> Result:
    one_thread()
    return task(*arguments)
