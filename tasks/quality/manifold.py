"""Where a synthetic image lies among real ones, in the features of a frozen network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

Features = npt.NDArray[np.floating]
Scores = npt.NDArray[np.float64]
_CELLS = 4_000_000  # distances held at once, 32 MB
_LEAST = 1e-12  # distance that stands for none, so that realism stays a finite number


def authentic(fake: Features, real: Features) -> npt.NDArray[np.bool_]:
    """Tell which of ``[M, D]`` fakes are no copies of one of ``[N, D]`` real images.

    A fake j, its nearest real image i, is authentic iff ``d(j, i) > d(i, nearest other real)``
    (Alaa et al. 2022, arXiv:2102.08921, section 3.2). Of fresh real images no more than half
    are, as nearest neighbours are mutual half the time or more: it is a share to compare with
    theirs rather than a verdict on one image.

    Raises:
        ValueError: fewer than 2 real images.
    """
    own = neighbour_distance(real, 1)
    parts = []
    for distance in distances(fake, real):
        row = distance.argmin(axis=1)
        parts.append(distance[np.arange(len(row)), row] > own[row])
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.bool_)


def realism(fake: Features, real: Features, k: int = 3) -> Scores:
    """Return how far inside the real manifold each of ``[M, D]`` fakes lies, ``[M]`` above 0.

    ``max over real i of radius(i) / d(fake, i)``, the radius being the distance of i to its
    k-th nearest other (Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 3). At 1 or more it lies
    inside. As there, real images with a radius above the median are left out: in sparse regions
    they are wide enough to hold anything.

    Raises:
        ValueError: fewer than 2 real images.
    """
    radius = neighbour_distance(real, min(k, len(real) - 1))
    dense = radius <= np.median(radius)
    parts = [
        (radius[dense] / np.maximum(distance, _LEAST)).max(axis=1)
        for distance in distances(fake, real[dense])
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def neighbour_distance(features: Features, k: int) -> Scores:
    """Distance of each row ``[N, D]`` to its k-th nearest other row, ``[N]``.

    Raises:
        ValueError: no more than k rows.
    """
    if not 1 <= k < len(features):
        raise ValueError(f"{len(features)} rows have no {max(k, 1)} others")
    parts = [np.partition(near, k, axis=1)[:, k] for near in distances(features, features)]
    return np.concatenate(parts)


def distances(rows: Features, columns: Features) -> Iterator[Scores]:
    """Euclidean distances ``[some rows, columns]``, some rows at a time, in float64."""
    step = max(1, _CELLS // len(columns))
    for start in range(0, len(rows), step):
        yield cdist(rows[start : start + step], columns)
