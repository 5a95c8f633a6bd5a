"""Where a synthetic image lies among real ones, in the features of a frozen network.

Both scores hold images against at most 5,000 real ones, a random choice where there are more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tasks.quality.neighbours import Features, Scores, apart, distances, nearest, radii, some

_LEAST = 1e-12  # distance that stands for none, so that realism stays a finite number


class Authenticity:
    """Tells which of ``[M, D]`` fakes are no copies of one of ``[N, D]`` real images.

    A fake j, its nearest real image i, is authentic iff ``d(j, i) > d(i, nearest other real)``
    (Alaa et al. 2022, arXiv:2102.08921, section 3.2). Of fresh real images no more than half
    are, as nearest neighbours are mutual half the time or more: it is a share to compare with
    theirs rather than a verdict on one image.
    """

    def __init__(self, real: Features) -> None:
        """Measure the real images.

        Raises:
            ValueError: they are fewer than 2.
        """
        if len(real) < 2:
            raise ValueError(f"{len(real)} rows have no 1 others")
        self._real = real[some(len(real))]
        self._own = apart(self._real, self._real[nearest(None, self._real)])

    def __call__(self, fake: Features) -> npt.NDArray[np.bool_]:
        """Return the marks ``[M]``."""
        if not len(fake):
            return np.zeros(0, dtype=np.bool_)
        row = nearest(fake, self._real)
        return apart(fake, self._real[row]) > self._own[row]


class Realism:
    """Says how far inside the manifold of ``[N, D]`` reals each of ``[M, D]`` fakes lies, above 0.

    ``max over real i of radius(i) / d(fake, i)``, the radius being the distance of i to its
    k-th nearest other (Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 3). At 1 or more it lies
    inside. As there, real images with a radius above the median are left out: in sparse regions
    they are wide enough to hold anything.
    """

    def __init__(self, real: Features, k: int = 3) -> None:
        """Measure the real images.

        Raises:
            ValueError: they are fewer than 2.
        """
        real = real[some(len(real))]
        radius = radii(real, min(k, len(real) - 1))
        dense = radius <= np.median(radius)
        self._real, self._radius = real[dense], radius[dense]

    def __call__(self, fake: Features) -> Scores:
        """Return the scores ``[M]``."""
        parts = [
            (self._radius / np.maximum(distance, _LEAST)).max(axis=1)
            for _, distance in distances(fake, self._real)
        ]
        return np.concatenate([np.zeros(0), *parts])
