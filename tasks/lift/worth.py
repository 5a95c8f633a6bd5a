"""What the lift is worth in real images: the curve of `REAL`, read where the lift leads to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats
from scipy.optimize import isotonic_regression

from tasks.lift.intervals import Interval
from tasks.lift.metrics import Floats
from tasks.lift.parts import CurvePoint, Estimate, Worth


def worth(
    curve: Mapping[str, tuple[int, Interval]],
    replicates: Floats,
    lift: Interval,
    lifts: Floats,
    *,
    factor: float,
    have: int,
    level: float,
) -> Worth:
    """Read off how many more real images bring the lift.

    What is looked up is the metric that the curve has at the real images one has, plus the lift,
    so that the answer is above these images exactly where the lift is above 0, and its interval
    holds them exactly where that of the lift holds 0. Between its points the curve is straight
    over the logarithm of the number of images; it is made to rise first. All of it is done anew
    for each replicate, and the interval is the expanded percentile one (Hesterberg 2015), since
    a handful of GANs is behind it.

    Args:
        curve: P points by arm, by rising number of images: that number and the metric.
        replicates: the metric of the P points on B resamples ``[B, P]``.
        lift: of the treatment over the baseline, in units of ``factor``.
        lifts: the same on the same resamples ``[B]``.
        factor: what a difference in the metric is multiplied with to be a lift; negative where
            less of the metric is better.
        have: real images that one has; a point of the curve.
        level: of the interval.
    """
    numbers = np.array([images for images, _ in curve.values()], np.float64)
    means = np.array([interval.mean for _, interval in curve.values()])
    at = int(np.flatnonzero(numbers == have)[0])
    usable = np.isfinite(replicates).all(axis=1) & np.isfinite(lifts)
    found = np.array(
        [
            images_for(one, factor * points, numbers, at)
            for one, points in zip(lifts[usable], replicates[usable], strict=True)
        ]
    )
    tail = float(stats.norm.cdf(stats.t.ppf((1.0 - level) / 2.0, lift.df)))
    low, high = np.quantile(found, [tail, 1.0 - tail], method="inverted_cdf")
    # The percentiles and the t interval of the lift may differ in whether they hold its 0.
    low = max(low, have) if lift.low > 0.0 else min(low, have)
    high = min(high, have) if lift.high < 0.0 else max(high, have)
    middle = images_for(lift.mean, factor * means, numbers, at)
    rising = isotonic_regression(factor * means).x / factor
    reached = sorted(rising[at] + end / factor for end in (lift.low, lift.high))
    return Worth(
        real_images=_whole(middle),
        low=_whole(min(low, numbers[-1])),
        high=_whole(max(high, numbers[0])),
        beyond="above" if np.isposinf(middle) else "below" if middle == 0.0 else None,
        have=have,
        reached=Estimate(
            mean=rising[at] + lift.mean / factor, ci_low=reached[0], ci_high=reached[1]
        ),
        curve=tuple(
            CurvePoint(
                arm=arm,
                real_images=images,
                mean=point.mean,
                ci_low=point.low,
                ci_high=point.high,
                rising=risen,
            )
            for (arm, (images, point)), risen in zip(curve.items(), rising, strict=True)
        ),
    )


def images_for(lift: float, points: Floats, numbers: Floats, at: int) -> float:
    """Return the number of images with which the curve lies by the lift above one of its points.

    Where the curve is flat, the end of the flat stretch that is nearer to that point.

    Args:
        lift: in the unit of the points.
        points: the curve ``[P]``, more is better, not yet made to rise.
        numbers: images of its points ``[P]``, rising.
        at: the point.

    Returns:
        At a lift of 0 the point's own images, of a positive lift more, of a negative one fewer;
        0 where it leads below the curve, infinity where it leads above.
    """
    if lift == 0.0:
        return float(numbers[at])
    rising = isotonic_regression(points).x
    rises = rising - rising[at]
    if lift > 0.0:
        return _crossing(lift, rises[at:], numbers[at:], beyond=np.inf)
    return _crossing(-lift, -rises[at::-1], numbers[at::-1], beyond=0.0)


def _crossing(lift: float, rises: Floats, numbers: Floats, *, beyond: float) -> float:
    """Walk away from the first point, whose rise is 0, until the lift is reached."""
    reached = np.flatnonzero(rises >= lift)
    if len(reached) == 0:
        return beyond
    end = int(reached[0])
    share = (lift - rises[end - 1]) / (rises[end] - rises[end - 1])
    near, far = numbers[end - 1 : end + 1]
    return float(near * (far / near) ** share)  # never on the other side of `near`


def _whole(images: float) -> int | None:
    return round(images) if 0.0 < images < np.inf else None
