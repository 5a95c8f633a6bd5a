"""Choose among images of one GAN and class: by p(real), or to fill a quota with diversity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.spatial.distance import cdist
from scipy.special import expit, logit

from tasks.quality.manifold import Features, neighbour_distance

Scores = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
_FARTHEST = 700.0  # from an acceptance of one half, in logits: past it a float64 is 0 or 1
_NEIGHBOUR = 5


def best_share(p_real: Scores, share: float) -> Rows:
    """Return the rows of the best `share` (0..1], one at least, the best first; ties by row."""
    count = max(1, round(share * len(p_real)))
    order: Rows = np.argsort(-p_real, kind="stable")[:count]
    return order


def acceptance(p_real: Scores, share: float) -> Scores:
    """Return the probability ``[N]`` of accepting each image in discriminator rejection sampling.

    Azadi et al. 2019 (arXiv:1810.06758, eq. 7 and 8): with the density ratio
    ``r = p / (1 - p)``, ``sigmoid(F - gamma)`` where ``F = logit(r / max r)``. At gamma 0 that is
    ``r / max r``, and what is accepted follows the real density. One image with a huge ratio then
    leaves nearly nothing, so gamma is lowered, never raised, until `share` of the images is
    accepted on average: accepting more stays nearer to the pool.

    Args:
        p_real: calibrated, ``[N]`` in 0..1.
        share: least mean of the result, 0..1.
    """
    log_ratio = logit(np.clip(p_real, 1e-12, 1.0 - 1e-12))
    below = np.minimum(log_ratio - log_ratio.max(), -1e-12)  # log(r / max r), 0 kept finite
    shift = below - np.log(-np.expm1(below))

    def excess(gamma: float) -> float:
        return float(expit(shift - gamma).mean()) - share

    if excess(0.0) >= 0.0:
        return np.asarray(expit(shift), dtype=np.float64)
    if excess(-_FARTHEST) <= 0.0:  # a share of 1
        return np.ones(len(p_real))
    gamma = brentq(excess, -_FARTHEST, 0.0)
    return np.asarray(expit(shift - gamma), dtype=np.float64)


def at_random(features: Features, quota: int, rng: np.random.Generator) -> Rows:
    """Return `quota` rows at random, none twice."""
    rows: Rows = rng.permutation(len(features))[:quota].astype(np.int64)
    return rows


def farthest_point(features: Features, quota: int, rng: np.random.Generator) -> Rows:
    """Return `quota` rows that leave no other row far from all of them.

    Greedy k-centre (Gonzalez 1985; Sener and Savarese 2018, arXiv:1708.00489, alg. 1): at most
    twice the best possible radius. It begins with the row nearest to the mean, so `rng` is not
    drawn from.
    """
    features = np.asarray(features, dtype=np.float64)
    mean = features.mean(axis=0, keepdims=True)
    chosen = [int(cdist(features, mean)[:, 0].argmin())]
    gap = cdist(features, features[chosen])[:, 0]
    for _ in range(1, min(quota, len(features))):
        gap[chosen[-1]] = -1.0  # chosen, and not again, even among equals
        chosen.append(int(gap.argmax()))
        gap = np.minimum(gap, cdist(features, features[chosen[-1:]])[:, 0])
    return np.array(chosen, dtype=np.int64)


def density_balanced(features: Features, quota: int, rng: np.random.Generator) -> Rows:
    """Return `quota` rows at random, the likelier the sparser it is around them.

    The weight of a row is its distance to its 5th nearest other: the inverse density along a
    line. The true dimension would as its exponent leave all the weight to the outermost row.
    """
    if len(features) < 2:
        return at_random(features, quota, rng)
    radius = neighbour_distance(features, min(_NEIGHBOUR, len(features) - 1))
    weight = radius + 1e-6 * (radius.max() or 1.0)  # repeated rows have a radius of 0
    size = min(quota, len(features))
    rows: Rows = rng.choice(len(features), size, replace=False, p=weight / weight.sum())
    return rows.astype(np.int64)


FILLS: dict[str, Callable[[Features, int, np.random.Generator], Rows]] = {
    "none": at_random,
    "farthest_point": farthest_point,
    "density": density_balanced,
}
