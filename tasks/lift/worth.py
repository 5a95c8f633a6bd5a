"""What the treatment is worth in real images: the curve of the plain arm, read backwards."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats
from scipy.optimize import isotonic_regression

from tasks.lift.intervals import Interval
from tasks.lift.metrics import Floats
from tasks.lift.result import CurvePoint, Worth


def worth(
    curve: Mapping[str, tuple[int, Interval]],
    replicates: Floats,
    treatment: Floats,
    treatment_mean: float,
    *,
    sign: float,
    have: int,
    df: float,
    level: float,
) -> Worth:
    """Read off how many real images do as much as the treatment.

    Between its points the curve is straight over the logarithm of the number of images; it is
    made to rise first. Both are done anew for each replicate, and the interval is the expanded
    percentile one (Hesterberg 2015), since a handful of GANs is behind it.

    Args:
        curve: P points by arm, by rising number of images: that number and the metric.
        replicates: the metric of the P points on B resamples ``[B, P]``.
        treatment: the treatment's metric on the same resamples ``[B]``.
        treatment_mean: the treatment's observed metric.
        sign: -1 where less of the metric is better, else 1.
        have: real images of the baseline.
        df: degrees of freedom of the lift.
        level: of the interval.
    """
    numbers = np.array([images for images, _ in curve.values()], np.float64)
    means = np.array([interval.mean for _, interval in curve.values()])
    usable = np.isfinite(replicates).all(axis=1) & np.isfinite(treatment)
    found = np.array(
        [
            images_for(sign * value, sign * points, numbers)
            for value, points in zip(treatment[usable], replicates[usable], strict=True)
        ]
    )
    tail = float(stats.norm.cdf(stats.t.ppf((1.0 - level) / 2.0, df)))
    low, high = np.quantile(found, [tail, 1.0 - tail], method="inverted_cdf")
    middle = images_for(sign * treatment_mean, sign * means, numbers)
    return Worth(
        real_images=_whole(middle),
        low=_whole(min(low, numbers[-1])),
        high=_whole(max(high, numbers[0])),
        beyond="above" if np.isposinf(middle) else "below" if middle == 0.0 else None,
        have=have,
        curve=tuple(
            CurvePoint(
                arm=arm, real_images=images, mean=point.mean, ci_low=point.low, ci_high=point.high
            )
            for arm, (images, point) in curve.items()
        ),
    )


def images_for(value: float, points: Floats, numbers: Floats) -> float:
    """Return the least number of images with which the curve reaches a value.

    Args:
        value: to reach.
        points: the curve ``[P]``, not yet made to rise.
        numbers: images of its points ``[P]``, rising.

    Returns:
        0 if even the first point exceeds the value, infinity if none reaches it.
    """
    rising = isotonic_regression(points).x
    reached = np.flatnonzero(rising >= value)
    if len(reached) == 0:
        return float("inf")
    end = int(reached[0])
    if end == 0:
        return float(numbers[0]) if rising[0] == value else 0.0
    share = (value - rising[end - 1]) / (rising[end] - rising[end - 1])
    low, high = np.log(numbers[end - 1 : end + 1])
    return float(np.exp(low + share * (high - low)))


def _whole(images: float) -> int | None:
    return round(images) if 0.0 < images < np.inf else None
