"""How a factor falls while training goes on; `done` is the share of training behind, 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Callable


def constant(done: float) -> float:
    """Return 1."""
    del done
    return 1.0


def linear(done: float) -> float:
    """Return 1 over the first half, then fall to 0 on a straight line."""
    return 1.0 - _second_half(done)


def cosine(done: float) -> float:
    """Return 1 over the first half, then fall to 0 on half a cosine.

    Loshchilov and Hutter 2017 (arXiv:1608.03983, eq. 5), begun half-way and without restarts.
    """
    return 0.5 * (1.0 + math.cos(math.pi * _second_half(done)))


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
}


def top_k_share(done: float, final: float) -> float:
    """Return the share of best-judged fakes that teach the generator: from 1 to `final`.

    Sinha et al. 2020 (arXiv:2002.06224, section 3) lower k by a factor an epoch; this is a
    straight line over training.
    """
    return 1.0 + (final - 1.0) * min(max(done, 0.0), 1.0)


def _second_half(done: float) -> float:
    return min(max(2.0 * done - 1.0, 0.0), 1.0)
