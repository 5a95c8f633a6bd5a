"""McNemar's exact test, Holm's correction and isotonic regression as a textbook has them."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb


def mcnemar_exact(first_only: int, second_only: int) -> float:
    """Twice the lower tail of a fair coin over the pairs that disagree, at most 1."""
    pairs, fewer = first_only + second_only, min(first_only, second_only)
    tail = sum(comb(pairs, k) for k in range(fewer + 1)) / 2**pairs
    return min(1.0, 2.0 * tail)


def holm(p_values: Sequence[float]) -> list[float]:
    """The smallest p times their number, the next times one less, never falling, at most 1."""
    corrected = [0.0] * len(p_values)
    highest = 0.0
    by_size = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for rank, place in enumerate(by_size):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def isotonic(values: Sequence[float]) -> list[float]:
    """The nearest curve that never falls: max over starts of min over ends of the mean."""
    count = len(values)
    return [
        max(
            min(sum(values[start : end + 1]) / (end + 1 - start) for end in range(place, count))
            for start in range(place + 1)
        )
        for place in range(count)
    ]
