"""Exact tests of single pairs, and the correction for many comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from tasks.lift.parts import SeedPair
from tasks.lift.predictions import Predictions


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for how many they are (Holm 1979)."""
    if not p_values:
        return []
    corrected: list[float] = multipletests(p_values, method="holm")[1].tolist()
    return corrected


def mcnemar_pairs(predictions: Predictions, treatment: str, baseline: str) -> tuple[SeedPair, ...]:
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
        pairs.append(
            SeedPair(
                seed=seed,
                gan_seed=gan_seed,
                treatment_only=table[0][1],
                baseline_only=table[1][0],
                p_value=p_value,
            )
        )
    return tuple(pairs)
