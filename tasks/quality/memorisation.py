"""Is a synthetic image a copy of a training image?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors

from tasks.contracts.image_set import Images

Distances = npt.NDArray[np.float64]
_CELLS = 16  # pixels a side that images are averaged down to before they are compared


@dataclass(frozen=True)
class Nearest:
    """The nearest training image of each image: `distance` ``[N]`` and its `row` ``[N]``."""

    distance: Distances
    row: npt.NDArray[np.int64]


def nearest(images: Images, train: Images) -> Nearest:
    """Find the nearest of all training images, by root mean square difference in grey levels.

    uint8 ``[N, H, W, C]`` against ``[M, H, W, C]``; sizes above 16 px are averaged down to
    16x16 first, so that noise does not hide a copy.
    """
    ours, theirs = _flat(images), _flat(train)
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(theirs)
    row = search.kneighbors(ours, return_distance=False)[:, 0].astype(np.int64)
    # The search finds distances by way of dot products, which round a copy's away from 0.
    return Nearest(np.sqrt(np.square(ours - theirs[row]).mean(axis=1)), row)


def copy_threshold(held_out: Distances, quantile: float) -> float:
    """Return the distance below which an image is a copy of a training image.

    It is a low quantile of the distances of held-out real images, which are no copies: what
    comes nearer than nearly all of them is nearer than chance explains.
    """
    return float(np.quantile(held_out, quantile))


def _flat(images: Images) -> Distances:
    n, height, width, channels = images.shape
    cells = min(_CELLS, height)
    blocks = np.asarray(images, dtype=np.float32).reshape(
        n, cells, height // cells, cells, width // cells, channels
    )
    flat: Distances = blocks.mean(axis=(2, 4)).reshape(n, -1).astype(np.float64)
    return flat
