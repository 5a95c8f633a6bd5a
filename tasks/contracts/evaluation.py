"""What the evaluation of a GAN on real/val says, between the rooms that make and use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasks.contracts.image_set import Images, Labels

Sample = Callable[[Labels], Images]
"""Makes one image for each label: int64 ``[N]`` to uint8 ``[N, H, W, C]``."""


@dataclass(frozen=True)
class GanEvaluation:
    """How images of a GAN compare with held-out real ones.

    Attributes:
        overall: kid, fid (features' units), precision, recall, density, coverage (shares, density
            may pass 1), conditioning (balanced accuracy of the judge under the asked labels, 0..1),
            conditioning_real (that of the held-out real images under their labels), diversity
            (within-class distance over real's; 1 is equal; where known), copy_rate (share nearer to
            a training image than nearly every held-out real image of the class is), copy_rate_real
            (the same share, of the held-out real images).
        by_class: class name to conditioning and, where two real images can be compared, coverage,
            diversity, spacing (distance of an image to its nearest other, over real's at an equal
            count) and, where held-out images alone are enough to compare with, coverage_real (of
            no more training images than generated ones).
    """

    overall: dict[str, float]
    by_class: dict[str, dict[str, float]]


Evaluate = Callable[[Sample], GanEvaluation]
"""Judges a generator by images it makes for the labels it is asked for."""
