"""How near generated features lie to real ones: distances, and shares of what is covered.

Everything takes features of a frozen network, float ``[N, D]``, and computes in float64.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial.distance import cdist, pdist
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from tasks.contracts.image_set import Labels

Features = npt.NDArray[np.floating]
_Exact = npt.NDArray[np.float64]
_SUBSET, _SUBSETS = 100, 100  # of the kernel distance: images of each side, and how many draws
_CELLS = 4_000_000  # distances held at once, 32 MB


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
    real_radius, fake_radius = _radii(real, k), _radii(fake, k)
    precise = np.zeros(len(fake), dtype=np.bool_)
    recalled = covered = held = 0
    for rows, distance in _distances(real, fake):
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


def within_class_diversity(features: Features, labels: Labels) -> dict[int, float]:
    """Return each label's mean distance between two of its rows; features ``[N, D]``.

    A label with one row has no pair and is left out.
    """
    return {
        int(label): float(pdist(_float64(features[labels == label])).mean())
        for label, count in zip(*np.unique(labels, return_counts=True), strict=True)
        if count > 1
    }


def conditioning_accuracy(probabilities: Features, labels: Labels) -> dict[int, float]:
    """Return for each label the share of its rows that a classifier gives that label, 0..1.

    `probabilities` ``[N, K]``, `labels` ``[N]``, those that were asked for. The mean of the
    shares is the balanced accuracy (Shmelkov et al. 2018, arXiv:1807.09499, calls it GAN-test).
    """
    right = probabilities.argmax(axis=1) == labels
    return {int(label): float(right[labels == label].mean()) for label in np.unique(labels)}


def _radii(features: Features, k: int) -> _Exact:
    """Distance of each row ``[N]`` to its k-th nearest other; itself is the nearest of all."""
    parts = [
        np.partition(distance, k, axis=1)[:, k] for _, distance in _distances(features, features)
    ]
    return np.concatenate(parts)


def _distances(rows: Features, columns: Features) -> Iterator[tuple[slice, _Exact]]:
    """All distances, some rows at a time."""
    rows, columns = _float64(rows), _float64(columns)
    step = max(1, _CELLS // len(columns))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        yield part, cdist(rows[part], columns)


def _check(real: Features, fake: Features) -> None:
    if min(len(real), len(fake)) < 2:
        raise ValueError(f"{len(real)} real and {len(fake)} fake rows: each side needs 2")


def _float64(features: Features) -> _Exact:
    return np.asarray(features, dtype=np.float64)


def _tensor(features: Features) -> Tensor:
    return torch.from_numpy(_float64(features))
