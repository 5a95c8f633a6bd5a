"""What lift a comparison could find, by the number of its test images, before it has run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.lift.power import minimum_detectable

FEW_TEST_IMAGES, LARGEST_USEFUL_PP = 10, 5.0
# Variance of the lift an image, over the share of images that the classifier gets wrong: in the
# built-in run of 8 seeds a lift of 0.7 points was detectable with 800 test images, 4 % of them
# wrong (docs/log.md), so se = 0.7 / 2.8 points and 0.0025^2 x 800 / 0.04 = 0.13.
# A lower bound where training images are few: at 5 a class runs differ more (docs/log.md has 2 to 3
# points for the digits), and that part does not fall with test images.
_PER_ERROR = 0.13
EASY, HARD = 0.04, 0.25  # error rates between which most data sets lie


@dataclass(frozen=True)
class Reach:
    """The lift in percentage points that 80 % of such studies would find.

    Attributes:
        easy: where the classifier is wrong on 4 % of the images.
        hard: where it is wrong on 25 %.
        fewest: test images of the rarest class.
        times: how many times the test images are needed for 5 points on hard data, at least 1.
    """

    easy: float
    hard: float
    fewest: int
    times: float

    @property
    def answers(self) -> bool:
        """Whether the run could answer a question of that size."""
        return self.hard <= LARGEST_USEFUL_PP and self.fewest >= FEW_TEST_IMAGES


def reach(test: Mapping[str, int], level: float) -> Reach:
    """Estimate the reach of balanced accuracy on test images, counted by class.

    The mean of K recalls, so its variance is the sum of variance / n over the classes, over K^2.
    """
    inverse = sum(1.0 / max(1, n) for n in test.values()) / len(test) ** 2
    df = max(2.0, sum(test.values()) - len(test))
    easy, hard = (
        100 * minimum_detectable(math.sqrt(_PER_ERROR * wrong * inverse), df, level)
        for wrong in (EASY, HARD)
    )
    return Reach(easy, hard, min(test.values()), max(1.0, (hard / LARGEST_USEFUL_PP) ** 2))
