"""Exact tests of single pairs, and the correction for many comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from tasks.lift.intervals import Interval
from tasks.lift.predictions import Predictions


@dataclass(frozen=True)
class Comparison:
    """An arm over another, with the p-value that Holm's correction gives it."""

    arm: str
    over: str
    lift: Interval
    p_holm: float


@dataclass(frozen=True)
class McNemar:
    """One pair of runs: test images that one alone had right, and the exact p-value."""

    seed: int
    gan_seed: int | None
    treatment_only: int
    baseline_only: int
    p_value: float


def holm(lifts: Sequence[tuple[str, str, Interval]]) -> tuple[Comparison, ...]:
    """Correct the p-values of (arm, over, lift) for their number (Holm 1979)."""
    if not lifts:
        return ()
    corrected = multipletests([lift.p_value for *_, lift in lifts], method="holm")[1]
    return tuple(
        Comparison(arm, over, lift, float(p))
        for (arm, over, lift), p in zip(lifts, corrected, strict=True)
    )


def mcnemar_pairs(predictions: Predictions, treatment: str, baseline: str) -> tuple[McNemar, ...]:
    """Test each pair of runs by the images on which just one of them is right (McNemar 1947).

    It tells of these two classifiers, not of other seeds or GANs, and takes images for
    independent even where they form groups.
    """
    treated, base = predictions.arms[treatment], predictions.arms[baseline]
    gan_seeds = treated.gan_seeds or (None,) * len(treated.seeds)
    right = [runs.predicted == predictions.labels for runs in (treated, base)]
    pairs = []
    for seed, gan_seed, ours, theirs in zip(treated.seeds, gan_seeds, *right, strict=True):
        table = [[int(np.sum(a & b)) for b in (theirs, ~theirs)] for a in (ours, ~ours)]
        p_value = float(mcnemar(table, exact=True).pvalue)
        pairs.append(McNemar(seed, gan_seed, table[0][1], table[1][0], p_value))
    return tuple(pairs)
