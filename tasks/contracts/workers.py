"""One way to spread jobs over processes: those of this machine, or those of a cluster."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import joblib
from joblib.externals.loky.backend.context import set_start_method
from joblib.externals.loky.process_executor import TerminatedWorkerError

from tasks.contracts.cluster import Cluster, cluster
from tasks.contracts.fork_server import fork_server
from tasks.contracts.killed import killed
from tasks.contracts.machine import one_thread
from tasks.contracts.parent import die_with_parent

Result = TypeVar("Result")
_SIGNAL = re.compile(r"SIG\w+\(-(\d+)\)")
_AHEAD = 2  # jobs handed to a cluster for each that it does at once, so that none waits for us


def spread(task: Callable[..., Result], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
    """Call a task with the arguments of each job, in worker processes; yield results in order.

    One thread a process: sums split over threads round differently, so the number of processes
    changes the time and not the bytes. On this machine there is a process a core, and they end
    with this one; the environment may name a cluster instead (`tasks.contracts.cluster`).

    Args:
        task: a function of a module, not a closure.
        jobs: taken one by one, so that they need not all be held.

    Raises:
        UserError: a worker was killed, or the cluster cannot do the work.
    """
    with cluster() as others:
        yield from _here(task, jobs) if others is None else _elsewhere(others, task, jobs)


def _here(task: Callable[..., Result], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
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
            "a worker process",
            int(by[1]) if by else None,
            "Set LOKY_MAX_CPU_COUNT to fewer processes at once, then run again",
        ) from None


def _alone(task: Callable[..., Result], *arguments: Any) -> Result:
    one_thread()
    return task(*arguments)


def _elsewhere(
    others: Cluster, task: Callable[..., Result], jobs: Iterable[tuple[Any, ...]]
) -> Iterator[Result]:
    waiting = deque[Future[Result]]()
    for job in jobs:
        waiting.append(others.submit(task, *job))
        if len(waiting) >= _AHEAD * others.places:
            yield others.result(waiting.popleft())
    while waiting:
        yield others.result(waiting.popleft())
