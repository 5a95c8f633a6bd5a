"""Cui et al. 2019 (arXiv:1901.05555), section 5.1, one class at a time."""

from __future__ import annotations

from collections.abc import Sequence


def long_tail(counts: Sequence[int], per_class: int | None, imbalance: float) -> list[int]:
    largest = max(counts) if per_class is None else per_class
    quotas = []
    for place, there_are in enumerate(counts):
        decay = (1.0 / imbalance) ** (place / (len(counts) - 1)) if len(counts) > 1 else 1.0
        quotas.append(min(max(round(largest * decay), 1), there_are))
    return quotas
