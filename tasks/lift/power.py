"""What the evidence could have found, and how much more of it would settle the question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tasks.contracts.errors import UserError
from tasks.lift.intervals import Interval, Noise
from tasks.lift.metrics import Floats, Labels, Metric
from tasks.lift.predictions import Predictions

POWER = 0.8
_MOST = 100  # times the present evidence


@dataclass(frozen=True)
class Settle:
    """How many of one thing alone would carry the interval past 0, None where it cannot.

    Attributes:
        gans: GANs, each with as many classifier seeds as now.
        seeds: classifier seeds in all, on the GANs of now.
        test_images: test images, spread over the classes as now.
    """

    gans: int | None
    seeds: int | None
    test_images: int | None


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


def minimum_detectable(lift: Interval, level: float) -> float:
    """Return the true lift that this design would find in 80 % of its repetitions.

    (t_{1-a/2} + t_{0.8}) se, at the observed standard error and its degrees of freedom
    (Bloom 1995, "Minimum detectable effects").
    """
    quantiles = stats.t.ppf([(1.0 + level) / 2.0, POWER], lift.df)
    return float(quantiles.sum() * lift.se)


def settle(
    lift: Interval, noise: Noise, *, gans: int, seeds: int, test_images: int, level: float
) -> Settle:
    """Return what alone would carry the interval past 0 if the mean stayed as it is.

    Args:
        lift: observed.
        noise: where its variance comes from.
        gans: GANs behind the runs, 0 or 1 where runs are drawn themselves.
        seeds: classifier seeds.
        test_images: images.
        level: of the interval.
    """
    units = noise.units if gans > 1 else 0.0
    free = noise.units + noise.seeds - units + noise.cells  # falls with the seeds

    def more_gans(times: Floats) -> tuple[Floats, Floats]:
        return noise.runs / times + noise.images, gans * times - 1.0

    def more_seeds(times: Floats) -> tuple[Floats, Floats]:
        df = gans - 1.0 if gans > 1 else seeds * times - 1.0
        return units + free / times + noise.images, df + 0.0 * times

    def more_images(times: Floats) -> tuple[Floats, Floats]:
        runs = noise.units + noise.seeds + noise.cells / times
        return runs + noise.images / times, noise.df_runs + 0.0 * times

    def least(now: int, more: Callable[[Floats], tuple[Floats, Floats]]) -> int | None:
        numbers: Labels = np.arange(now + 1, _MOST * now + 1)
        times = numbers / now
        variance, df_runs = more(times)
        images = noise.images / (times if more is more_images else 1.0)
        df_images = noise.df_images * (times if more is more_images else 1.0)
        spread = (variance - images) ** 2 / df_runs + images**2 / df_images
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = stats.t.ppf((1.0 + level) / 2.0, variance**2 / spread) * np.sqrt(variance)
        enough = np.flatnonzero(reach < abs(lift.mean))
        return int(numbers[enough[0]]) if len(enough) else None

    several = gans > 1
    known = not several or seeds > gans  # one run a GAN does not tell seeds from GANs
    return Settle(
        gans=least(gans, more_gans) if several else None,
        seeds=least(seeds, more_seeds) if known else None,
        test_images=least(test_images, more_images),
    )
