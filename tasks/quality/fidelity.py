"""How near generated features lie to real ones: distances, and shares of what is covered.

Everything takes features of a frozen network, float ``[N, D]``, and computes in float64.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.special import comb
from torch import Tensor, nn

from tasks.contracts.image_set import Labels
from tasks.quality.neighbours import Features, distances, radii

_SUBSET, _SUBSETS = 100, 100  # of the kernel distance: images of each side, and how many draws


class _Given(nn.Module):
    """Stands where torchmetrics wants a network: features are computed already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: Features, fake: Features) -> float:
    """Distance of the two sets' Gaussians, >= 0 (Heusel et al. 2017, arXiv:1706.08500, eq. 6).

    Features ``[N, D]`` and ``[M, D]``. Biased upwards, the more the fewer images there are:
    compare it at equal counts alone.

    Raises:
        ValueError: fewer than 2 rows in either.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance  # seconds, and few need it

    _check(real, fake)
    metric = FrechetInceptionDistance(feature=_Given(real.shape[1]))
    metric.update(_tensor(real), real=True)
    metric.update(_tensor(fake), real=False)
    return max(0.0, float(metric.compute()))  # rounding can pass below 0


def kernel_distance(real: Features, fake: Features) -> float:
    """Unbiased squared maximum mean discrepancy, kernel ``(x.y / D + 1)^3``; near 0 if equal.

    Binkowski et al. 2018 (arXiv:1801.01401, section 4): the mean over 100 random subsets of
    100 images of each side, of fewer where a set is smaller. The subsets are the same at every
    call. Unbiased, so it can fall below 0.

    Raises:
        ValueError: fewer than 2 rows in either.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    _check(real, fake)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it keeps features in memory
        metric = KernelInceptionDistance(
            feature=_Given(real.shape[1]),
            subsets=_SUBSETS,
            subset_size=min(_SUBSET, len(real), len(fake)),
        )
    metric.update(_tensor(real), real=True)
    metric.update(_tensor(fake), real=False)
    with torch.random.fork_rng(devices=[]):  # training draws from the same global state
        torch.default_generator.manual_seed(0)
        mean, _ = metric.compute()
    return float(mean)


def prdc(real: Features, fake: Features, k: int = 5) -> dict[str, float]:
    """Return precision, recall, density and coverage of ``[M, D]`` fakes by ``[N, D]`` reals.

    Precision and recall: the share of one set inside a k-nearest-neighbour ball of the other
    (Kynkaanniemi et al. 2019, arXiv:1904.06991, eq. 1 and 2). Density: how many real balls hold
    a fake, over k; coverage: the share of real balls that hold one (Naeem et al. 2020,
    arXiv:2002.09797, eq. 4 and 5). Balls are open, as in Naeem's code. All in 0..1 but density,
    which may pass 1. A set of k images or fewer takes all its other images as neighbours.

    Raises:
        ValueError: fewer than 2 rows in either.
    """
    _check(real, fake)
    k = min(k, len(real) - 1, len(fake) - 1)
    real_radius, fake_radius = radii(real, k), radii(fake, k)
    precise = np.zeros(len(fake), dtype=np.bool_)
    recalled = covered = held = 0
    for rows, distance in distances(real, fake):
        inside = distance < real_radius[rows, None]
        precise |= inside.any(axis=0)
        held += int(inside.sum())
        covered += int(inside.any(axis=1).sum())
        recalled += int((distance < fake_radius).any(axis=1).sum())
    return {
        "precision": float(precise.mean()),
        "recall": recalled / len(real),
        "density": held / (k * len(fake)),
        "coverage": covered / len(real),
    }


def expected_coverage(real: Features, fake: Features, count: int, k: int) -> float:
    """Return coverage of ``[N, D]`` reals by `count` of ``[M, D]`` fakes, the mean of all draws.

    `prdc` says what coverage is. A ball that holds c of the fakes holds none of a draw with
    probability ``C(M - c, count) / C(M, count)``, so no draw has to be made.
    """
    held = (cdist(real, fake) < radii(real, k)[:, None]).sum(axis=1)
    missed = comb(len(fake) - held, count) / comb(len(fake), count)
    return float(1.0 - missed.mean())


def diversity(features: Features) -> float:
    """Return the mean distance between two rows of ``[N, D]``, N at least 2."""
    return float(pdist(features).mean())


def spacing(features: Features, count: int) -> float:
    """Return the distance of a row to the nearest of ``count - 1`` others, the mean of all draws.

    Near 0 where a few images are shown again and again, however far apart those are, which
    diversity does not see: the birthday-paradox test of Arora and Zhang 2018 (arXiv:1706.08224)
    as a distance. It falls as the count rises, so compare it at an equal one. The j-th nearest
    of ``N - 1`` others is the nearest drawn with probability
    ``C(N - 1 - j, count - 2) / C(N - 1, count - 1)``.

    Args:
        features: ``[N, D]``.
        count: 2..N.
    """
    others = np.sort(squareform(pdist(features)), axis=1)[:, 1:]  # without itself
    left = np.arange(len(features) - 2, -1, -1)
    return float((others @ (comb(left, count - 2) / comb(len(left), count - 1))).mean())


def conditioning_accuracy(probabilities: Features, labels: Labels) -> dict[int, float]:
    """Return for each label the share of its rows that a classifier gives that label, 0..1.

    `probabilities` ``[N, K]``, `labels` ``[N]``, those that were asked for. The mean of the
    shares is the balanced accuracy (Shmelkov et al. 2018, arXiv:1807.09499, calls it GAN-test).
    """
    right = pd.Series(probabilities.argmax(axis=1) == labels)
    return {int(str(label)): float(share) for label, share in right.groupby(labels).mean().items()}


def _check(real: Features, fake: Features) -> None:
    if min(len(real), len(fake)) < 2:
        raise ValueError(f"{len(real)} real and {len(fake)} fake rows: each side needs 2")


def _tensor(features: Features) -> Tensor:
    return torch.from_numpy(np.asarray(features, dtype=np.float64))
