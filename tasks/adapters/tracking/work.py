"""When the work behind a result began, for a run's true duration: outputs hold no times."""

from __future__ import annotations

import os
import time

import psutil  # type: ignore[import-untyped]

_BEGUN = "GANLIFT_BEGUN"  # set by the flow, whose stages are processes of their own


def begin() -> None:
    """Note that a line begins now, for every stage that this process starts."""
    os.environ[_BEGUN] = repr(time.time())


def begun() -> float:
    """Return when the line began, in seconds since 1970.

    That is when the flow did; started by ``dvc repro``, when DVC did, which is a stage's parent;
    otherwise when this process did.
    """
    if told := os.environ.get(_BEGUN):
        return float(told)
    process = psutil.Process(os.getppid() if "DVC_STAGE" in os.environ else os.getpid())
    return float(process.create_time())
