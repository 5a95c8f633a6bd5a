"""What a GAN that was trained with differential privacy promises about its real images."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

Unit = Literal["image", "group"]
FALSE_POSITIVES = 0.01
"""The rate at which true positives of attacks are told (Carlini et al. 2022, arXiv:2112.03570)."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Guarantee:
    """(ε, δ)-differential privacy (Dwork and Roth 2014, definition 2.4) of one GAN's weights.

    Two sets of training images are neighbours where one has all images of a unit, the other none.

    Attributes:
        epsilon: spent by this GAN.
        epsilon_together: spent by all GANs of the run, for whoever sees more than one.
        delta: of each of the two.
        gans: how many there are.
        unit: what is hidden: one image, or all images of a ``group`` where images have groups.
        units: how many of them real/train holds, which counts as public.
        noise_multiplier: standard deviation of the noise over ``max_grad_norm``.
        max_grad_norm: L2 norm that each image's gradient is clipped to.
        sample_rate: probability that a step sees a unit.
        steps: of the discriminator.
        class_counts: how often each class occurs was declared public, or hidden by noise.
        count_noise: standard deviation of that noise in units; 0 without.
    """

    epsilon: float
    epsilon_together: float
    delta: float
    gans: int
    unit: Unit
    units: int
    noise_multiplier: float
    max_grad_norm: float
    sample_rate: float
    steps: int
    class_counts: Literal["public", "noised"]
    count_noise: float = 0.0


def weakest(guarantees: Iterable[Guarantee]) -> Guarantee:
    """Return the guarantee of the GAN that spends most, of at least one."""
    return max(guarantees, key=lambda one: (one.epsilon_together, one.epsilon))


def most_true_positives(epsilon: float, delta: float, false_positives: float) -> float:
    """Return the largest true-positive rate that any attack can reach at a false-positive rate.

    That is ``min(e^ε·FPR + δ, 1 - e^-ε·(1 - δ - FPR))`` (Kairouz et al. 2015, arXiv:1311.0776,
    theorem 2.1).

    Args:
        epsilon: from 0.
        delta: 0..1.
        false_positives: 0..1.
    """
    if epsilon > 700:  # e^ε is no float any more, and no promise
        return 1.0
    up = math.exp(epsilon) * false_positives + delta
    down = 1 - math.exp(-epsilon) * (1 - delta - false_positives)
    return min(1.0, up, down)


def most_area(epsilon: float, delta: float) -> float:
    """Return the largest area under the curve of `most_true_positives`, 0.5..1.

    The curve is two straight lines that meet at equal errors, and 1 from there on.
    """
    if epsilon > 700:
        return 1.0
    # where the lines cross: FPR = FNR = (1 - δ) / (1 + e^ε)
    corner = (1 - delta) / (1 + math.exp(epsilon))
    below = corner * (delta + 1 - corner) / 2  # under the steep line
    beyond = 1 - delta - corner  # from the corner to where the flat line reaches 1
    return below + beyond * (1 - corner + 1) / 2 + delta
