"""How sure a mean over runs is, on the draw of runs and of test images together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from tasks.lift.metrics import Floats
from tasks.lift.resampling import RunDraws


@dataclass(frozen=True)
class Noise:
    """Variance of a mean by where it comes from, in the unit of the mean squared.

    Attributes:
        units: between GANs, or between runs where no GAN or a single one stands behind them.
        seeds: between the classifier seeds of one GAN.
        cells: what a run does to single images, which neither explains; part of `runs`.
        images: the draw of test images.
        df_runs: degrees of freedom of `runs`.
        df_images: degrees of freedom of `images`.
    """

    units: float
    seeds: float
    cells: float
    images: float
    df_runs: int
    df_images: int

    @property
    def runs(self) -> float:
        """The draw of GANs and classifier seeds, with what they do to single images."""
        return self.units + self.seeds + self.cells

    def df(self, level: float) -> float:
        """Degrees of freedom of the sum, for an interval of that level.

        Satterthwaite (1946). From two GANs, whose one degree of freedom often makes `runs` look
        small, that held the truth in as few as 86 % of simulated cases at a claimed 95. There
        each source keeps a quantile of its own, and the interval is as wide as both together
        (Graybill & Wang 1980).
        """
        if self.runs + self.images == 0.0:
            return float(self.df_images)
        if self.df_runs > 1 or self.runs == 0.0:
            spread = self.runs**2 / self.df_runs + self.images**2 / self.df_images
            return (self.runs + self.images) ** 2 / spread
        of_runs, of_images = stats.t.ppf((1.0 + level) / 2.0, [self.df_runs, self.df_images])
        square = (of_runs**2 * self.runs + of_images**2 * self.images) / (self.runs + self.images)

        def excess(df: float) -> float:
            return float(stats.t.ppf((1.0 + level) / 2.0, df) - np.sqrt(square))

        return float(brentq(excess, 0.999, 1.001 * self.df_images))


@dataclass(frozen=True)
class Interval:
    """A mean over runs and how sure we are of it, all in the unit of what was given.

    Attributes:
        mean: over the runs, on the test set as it is.
        low: lower end.
        high: upper end.
        se: standard error of the mean.
        df: degrees of freedom of `se`.
        p_value: two-sided, of no effect; below 1 - level exactly where 0 lies outside.
    """

    mean: float
    low: float
    high: float
    se: float
    df: float
    p_value: float

    def within(self, least: float, most: float) -> Interval:
        """Return it without what lies beyond the values that there can be."""
        return replace(self, low=max(self.low, least), high=min(self.high, most))


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

    def over(self, runs: RunDraws) -> Averaged:
        """Return the means over the runs, even and drawn anew."""
        drawn = (runs.weights * self.resampled).sum(axis=1)
        return Averaged(self.observed, self.resampled.mean(axis=1), drawn, runs)


@dataclass(frozen=True)
class Averaged:
    """The mean of a quantity over its runs, on every resample of the test set.

    Attributes:
        observed: of every run, on the test set as it is ``[S]``.
        even: the mean over the runs as they are ``[B]``.
        drawn: the mean over runs drawn anew ``[B]``.
        runs: the draws.
    """

    observed: Floats
    even: Floats
    drawn: Floats
    runs: RunDraws

    def replicates(self) -> Floats:
        """Return the mean with runs and images drawn anew ``[B]``, their parts added up."""
        mean = self.observed.mean()
        moved: Floats = (self.runs.weights @ self.observed - mean) + (self.even - mean) + mean
        return moved


def noise(quantity: Averaged, image_df: int) -> Noise:
    """Split the variance of a mean over crossed runs and images.

    The draw of runs and the draw of images each hold the noise of single cells (a run on an
    image) once, so that their sum holds it twice, and drawing both at a time three times (Owen
    2007, theorem 3). What a replicate has beyond its two parts is that noise alone: it is taken
    off once, as the analysis of readers crossed with cases does (Obuchowski & Rockette 1995,
    "Hypothesis testing of diagnostic accuracy for multiple readers"), never below 0.

    Args:
        quantity: a mean over runs.
        image_df: degrees of freedom of the test images.
    """
    usable = np.isfinite(quantity.even)  # a class may vanish with its groups
    mean, runs = quantity.observed.mean(), quantity.runs
    of_runs = runs.weights[usable] @ quantity.observed - mean
    of_images = quantity.even[usable] - mean
    both = quantity.drawn[usable] - mean
    total = float(of_runs.var())
    cells = min(float((both - of_runs - of_images).var()), total)
    within = min(_within(quantity.observed, runs), total)
    return Noise(
        units=total - max(within, cells),
        seeds=max(within - cells, 0.0),
        cells=cells,
        images=max(float(of_images.var()) - cells, 0.0),
        df_runs=runs.df,
        df_images=max(image_df, 1),
    )


def interval(mean: float, spread: Noise, level: float) -> Interval:
    """Return the t interval of a mean.

    Its standard error comes from the bootstrap, its degrees of freedom from where the noise
    does: few when GANs make it, many when images do (Hillis 2007, "A comparison of denominator
    degrees of freedom methods for multiple observer ROC analysis").

    Args:
        mean: observed.
        spread: variance of the mean.
        level: share of such intervals that hold the truth, 0.5 to 1.
    """
    se, df = float(np.sqrt(spread.runs + spread.images)), spread.df(level)
    reach = se * float(stats.t.ppf((1.0 + level) / 2.0, df))
    p_value = 2.0 * float(stats.t.sf(abs(mean) / se, df)) if se > 0.0 else float(mean == 0.0)
    return Interval(mean, mean - reach, mean + reach, se, df, p_value)


def _within(observed: Floats, runs: RunDraws) -> float:
    """Return the part of the mean's variance that the runs behind one unit make by themselves."""
    sizes = np.bincount(runs.units)
    free = len(observed) - len(sizes)
    if free == 0:
        return 0.0
    means = np.bincount(runs.units, observed) / sizes
    return float(((observed - means[runs.units]) ** 2).sum() / free / len(observed))
