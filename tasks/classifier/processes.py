"""One way to spread fits over the cores, for every stage that fits classifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import joblib

from tasks.contracts.machine import one_thread
from tasks.contracts.stage import die_with_parent

Result = TypeVar("Result")


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
    """
    calls = (joblib.delayed(_alone)(task, *job) for job in jobs)
    yield from joblib.Parallel(n_jobs=joblib.cpu_count(), return_as="generator")(calls)


def _alone(task: Callable[..., Result], *arguments: Any) -> Result:
    die_with_parent()
    one_thread()
    return task(*arguments)
