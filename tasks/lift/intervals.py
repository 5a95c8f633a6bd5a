"""Percentile intervals over runs and test images together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from tasks.lift.metrics import Floats
from tasks.lift.resampling import RunDraws


@dataclass(frozen=True)
class Interval:
    """A mean over runs and how sure we are of it, all in the unit of what was given.

    Attributes:
        mean: over the runs, on the test set as it is.
        low: lower end.
        high: upper end.
        noise_runs: standard deviation from the draw of GANs and classifier seeds.
        noise_images: standard deviation from the draw of test images.
    """

    mean: float
    low: float
    high: float
    noise_runs: float
    noise_images: float


@dataclass(frozen=True)
class Replicated:
    """A quantity of every run, on the test set and on every resample of it.

    Attributes:
        observed: ``[S]``.
        resampled: ``[B, S]``.
    """

    observed: Floats
    resampled: Floats

    def __sub__(self, other: Replicated) -> Replicated:
        """Return the paired difference, run by run and resample by resample."""
        return Replicated(self.observed - other.observed, self.resampled - other.resampled)

    def scaled(self, factor: float) -> Replicated:
        """Return the quantity in another unit."""
        return Replicated(self.observed * factor, self.resampled * factor)


def interval(quantity: Replicated, runs: RunDraws, image_df: int, level: float) -> Interval:
    """Return the expanded percentile interval of the mean over runs.

    A plain percentile interval takes a handful of seeds for infinitely many. The expanded one
    reads the same distribution at the normal probability of Student's t quantile (Hesterberg
    2015, "What teachers should know about the bootstrap"), here with the degrees of freedom
    of a sum of variances (Satterthwaite 1946): few when GANs make the noise, many when images
    do. In simulations with 2 to 6 GANs, intervals of 95 % held the truth in 88 to 99 % of
    data sets: the least where 3 GANs differ widely, since three draws say little about that.

    Args:
        quantity: of each run, observed and resampled.
        runs: B draws of the runs.
        image_df: degrees of freedom of the test images.
        level: share of such intervals that hold the truth, 0.5 to 1.
    """
    usable = np.isfinite(quantity.resampled).all(axis=1)  # a class may vanish with its groups
    resampled, weights = quantity.resampled[usable], runs.weights[usable]
    noise_runs = float((runs.weights @ quantity.observed).std())
    noise_images = float(resampled.mean(axis=1).std())
    sources = [((part @ quantity.observed).var(), df) for part, df in runs.sources]
    variances, freedom = np.array([*sources, (noise_images**2, max(image_df, 1))]).T
    tail = (1.0 - level) / 2.0
    if variances.sum() > 0.0:
        df = variances.sum() ** 2 / (variances**2 / freedom).sum()
        tail = float(stats.norm.cdf(stats.t.ppf(tail, df)))
    low, high = np.quantile((weights * resampled).sum(axis=1), [tail, 1.0 - tail])
    return Interval(
        float(quantity.observed.mean()), float(low), float(high), noise_runs, noise_images
    )
