"""What the evidence could have found, and how much more of it would settle the question."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from tasks.contracts.errors import UserError
from tasks.lift.intervals import Noise
from tasks.lift.metrics import Floats, Metric
from tasks.lift.parts import Settle
from tasks.lift.predictions import Predictions

Bools = npt.NDArray[np.bool_]
Number = Floats | float

POWER = 0.8
_REMAINS = 0.25  # of the variance of one arm's score, in the difference of two
_MOST = 100  # times the present evidence
_LOOKS = 2000  # numbers tried on the way there, each 0.2 % more than the one before


def check_units(predictions: Predictions, metric: Metric, level: float) -> None:
    """Refuse a test split on which no result could reach the level.

    An exact two-sided sign test on n independent images has no p-value below 2 / 2^n.

    Raises:
        UserError: there are fewer independent images (groups) than that.
    """
    groups = predictions.groups
    judged = groups if metric.label is None else groups[predictions.labels == metric.label]
    found, needed = len(np.unique(judged)), int(np.ceil(np.log2(2.0 / (1.0 - level)) - 1e-9))
    if found < needed:
        raise UserError(
            "test split",
            f"{found} independent images cannot show {metric.title} to differ at a level of "
            f"{level:g}, that takes at least {needed}",
            "Add test images, raise ingest.test_share, or lower report.level",
        )


def minimum_detectable(se: float, df: float, level: float) -> float:
    """Return the true lift that this design would find in 80 % of its repetitions.

    (t_{1-a/2} + t_{0.8}) se (Bloom 1995, "Minimum detectable effects").

    Args:
        se: standard error of the lift.
        df: its degrees of freedom.
        level: of the interval.
    """
    return float(stats.t.ppf([(1.0 + level) / 2.0, POWER], df).sum() * se)


def settle(
    mean: float, noise: Noise, *, gans: int, seeds: int, test_images: int, level: float
) -> Settle:
    """Return what alone would carry the interval past 0 if the mean stayed as it is.

    Args:
        mean: of the lift, observed.
        noise: where its variance comes from.
        gans: GANs behind the runs, 0 or 1 where runs are drawn themselves.
        seeds: classifier seeds.
        test_images: images.
        level: of the interval.
    """
    several = gans > 1
    known = not several or seeds > gans  # one run a GAN does not tell seeds from GANs
    units = noise.units if several else 0.0
    free = noise.units + noise.seeds - units + noise.cells  # falls with the seeds

    def past_zero(runs: Floats, images: Number, df_runs: Number, df_images: Number) -> Bools:
        variance = runs + images
        spread = runs**2 / df_runs + images**2 / df_images
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = stats.t.ppf((1.0 + level) / 2.0, variance**2 / spread) * np.sqrt(variance)
        enough: Bools = reach < abs(mean)
        return enough

    def more_gans(times: Floats) -> Bools:
        return past_zero(noise.runs / times, noise.images, gans * times - 1.0, noise.df_images)

    def more_seeds(times: Floats) -> Bools:
        df_runs = gans - 1.0 if several else seeds * times - 1.0
        return past_zero(units + free / times, noise.images, df_runs, noise.df_images)

    def more_images(times: Floats) -> Bools:
        runs = noise.units + noise.seeds + noise.cells / times
        return past_zero(runs, noise.images / times, noise.df_runs, noise.df_images * times)

    return Settle(
        gans=_least(gans, more_gans) if several else None,
        seeds=_least(seeds, more_seeds) if known else None,
        test_images=_least(test_images, more_images),
    )


def _least(now: int, enough: Callable[[Floats], Bools]) -> int | None:
    """Return the least number above ``now`` that is enough, up to 100 times as many.

    Quantiles of t are slow, so numbers are tried at rising distances, then one by one between
    the last that is too small and the first that is enough. (More images take degrees of freedom
    from the sum, so "enough" need not hold for ever, and bisection would not do.)
    """
    tried = np.arange(now + 1, _MOST * now + 1)
    if len(tried) > _LOOKS:
        tried = np.unique(np.geomspace(tried[0], tried[-1], _LOOKS).round().astype(np.int64))
    found = np.flatnonzero(enough(tried / now))
    if len(found) == 0:
        return None
    last = int(tried[found[0] - 1]) if found[0] else now
    between = np.arange(last + 1, int(tried[found[0]]) + 1)
    return int(between[np.flatnonzero(enough(between / now))[0]])


def planned_detectable(test: Sequence[int], error: float) -> float:
    """Return about the smallest lift in balanced accuracy, in points, that a run could find.

    As `minimum_detectable`, before anything has run: the variance of a class's recall is that of
    a share, and of the difference of two arms trained alike, averaged over seeds, a quarter of
    it remains (an eighth on the built-in digits).

    Args:
        test: test images of each class.
        error: share of wrong answers that is assumed, 0 to 1.
    """
    counts = np.maximum(np.asarray(test, dtype=np.float64), 1.0)
    variance = float((error * (1.0 - error) / counts).mean() / len(counts)) * _REMAINS
    return 100.0 * minimum_detectable(variance**0.5, df=7.0, level=0.95)
