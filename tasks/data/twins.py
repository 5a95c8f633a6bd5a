"""Near-twins: the same scene at another exposure, crop, compression or size.

Candidates are the nearest by a perceptual hash (the lowest frequencies of the cosine transform,
Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", section 3.2.1,
kept as numbers rather than bits). They are confirmed by the correlation of mean-free pixels in the
band of frequencies that light and compression leave alone, at the best of a few crops.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

from tasks.contracts.image_set import Images

Floats = npt.NDArray[np.float32]
LEAST_SIZE = 16  # pixels; in smaller images honest ones look alike
_SIDE = 32  # pixels at which images are compared, at most
_LOW = 8  # frequencies of the hash in each direction
_CANDIDATES = 16  # nearest images by hash that are looked at
_BAND = (0.7, 2.0)  # deviations of two blurs whose difference is compared, in pixels at `_SIDE`
_CROPS = (1.0, 0.975, 0.95, 0.925, 0.9, 0.875)  # sides of what the twin may show
_PLACES = (0.0, 1 / 3, 2 / 3, 1.0)
_USUAL = 5  # how many neighbours of an image may be its twins while the next says what is usual
_SHARE = 0.25  # of the way from what is usual to 1 that twins have to go beyond it
_CHUNK = 1024


def find_twins(images: Images, threshold: float | None) -> pd.DataFrame:
    """Find pairs of images that show the same.

    Where honest images are nearly as alike as twins (ones among digits), the threshold rises: a
    class must not become one group. What is usual is the correlation that one image in a
    thousand reaches with its sixth neighbour.

    Args:
        images: uint8 ``[N, H, W, C]``, square, no two of them equal.
        threshold: least correlation of a pair, below 1; None seeks none.

    Returns:
        ``a`` and ``b`` (row numbers, a < b) and ``correlation``, sorted by rows; no pair where
        images are narrower than `LEAST_SIZE`.
    """
    if threshold is None or len(images) < 2 or images.shape[1] < LEAST_SIZE:
        none = pd.DataFrame({"a": [], "b": [], "correlation": []})
        return none.astype({"a": np.int64, "b": np.int64, "correlation": float})
    grey = _grey(images)
    near = _nearest(_unit(dctn(grey, axes=(1, 2), norm="ortho")[:, :_LOW, :_LOW]))
    found = np.full(near.shape, -1.0, np.float32)
    bands = _unit(_band(grey))
    for crop in _cropped(grey):
        cut = _unit(_band(crop))
        for column in range(near.shape[1]):  # a pair is looked at from both sides
            alike = np.einsum("nd,nd->n", cut, bands[near[:, column]])
            np.maximum(found[:, column], alike, out=found[:, column])
    if near.shape[1] > _USUAL:
        usual = float(np.quantile(np.sort(found, axis=1)[:, -_USUAL - 1], 0.999))
        threshold = max(threshold, usual + _SHARE * (1.0 - usual))
    row, place = np.nonzero(found >= threshold)
    pairs = np.sort(np.stack([row, near[row, place]], axis=1), axis=1)
    values = found[row, place].astype(np.float64).round(4)
    table = pd.DataFrame({"a": pairs[:, 0], "b": pairs[:, 1], "correlation": values})
    best = table.sort_values(["a", "b", "correlation"], ascending=[True, True, False])
    return best.drop_duplicates(["a", "b"]).reset_index(drop=True)


def _grey(images: Images) -> Floats:
    """Return float32 ``[N, S, S]``, S at most `_SIDE`."""
    block = max(1, images.shape[1] // _SIDE)
    side = images.shape[1] // block
    grey = images.mean(axis=3, dtype=np.float32)
    blocks = grey.reshape(len(grey), side, block, side, block)
    return np.asarray(blocks.mean(axis=(2, 4)), dtype=np.float32)


def _unit(values: npt.NDArray[np.float32]) -> Floats:
    """Return ``[N, D]`` of mean 0 and length 1."""
    flat = values.reshape(len(values), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return np.asarray(flat / length, dtype=np.float32)


def _nearest(hashes: Floats) -> npt.NDArray[np.int64]:
    """Return the nearest other rows of each by hash, ``[N, k]``."""
    count = min(_CANDIDATES, len(hashes) - 1)
    near = np.empty((len(hashes), count), dtype=np.int64)
    for start in range(0, len(hashes), _CHUNK):
        alike = hashes[start : start + _CHUNK] @ hashes.T
        own = np.arange(len(alike))
        alike[own, start + own] = -np.inf
        near[start : start + _CHUNK] = np.argpartition(-alike, count - 1, axis=1)[:, :count]
    return near


def _band(grey: Floats) -> Floats:
    scale = grey.shape[1] / _SIDE
    fine, coarse = (gaussian_filter(grey, (0, blur * scale, blur * scale)) for blur in _BAND)
    return np.asarray(fine - coarse, dtype=np.float32)


def _cropped(grey: Floats) -> Iterator[Floats]:
    side = grey.shape[1]
    for share in _CROPS:
        for top in _PLACES if share < 1.0 else (0.0,):
            for left in _PLACES if share < 1.0 else (0.0,):
                x, y = left * (1.0 - share) * side, top * (1.0 - share) * side
                box = (x, y, x + share * side, y + share * side)
                yield np.stack(
                    [
                        np.asarray(
                            Image.fromarray(one).resize(
                                (side, side), Image.Resampling.BILINEAR, box=box
                            )
                        )
                        for one in grey
                    ]
                )
