"""Near-twins: the same scene at another exposure, crop, compression or size.

Candidates are the nearest by a perceptual hash (the lowest frequencies of the cosine transform,
Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", section 3.2.1,
kept as numbers rather than bits). They are confirmed by the correlation of mean-free pixels in the
band of frequencies that light and compression leave alone, at the best of a few crops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

from tasks.contracts.image_set import Images

Floats = npt.NDArray[np.float32]
LEAST_SIZE = 16  # pixels; in smaller images honest ones look alike
_SIDE = 32  # pixels at which images are compared, at most
_LOW = 8  # frequencies of the hash in each direction
_CANDIDATES = 16  # nearest images by hash that are looked at
_BAND = (0.7, 2.0)  # standard deviations of the two blurs whose difference is compared, in pixels
_CROPS = (1.0, 0.975, 0.95, 0.925, 0.9, 0.875)  # sides of what the twin may show
_PLACES = (0.0, 1 / 3, 2 / 3, 1.0)
_USUAL = 5  # how many neighbours of an image may be its twins while the next says what is usual
_SHARE = 0.25  # of the way from what is usual to 1 that twins have to go beyond it
_CHUNK = 1024


@dataclass(frozen=True)
class Twins:
    """Pairs of rows, the lower first, with the correlation of each.

    Attributes:
        pairs: int64 ``[P, 2]``.
        correlations: float32 ``[P]``, -1 to 1.
        threshold: what was asked of them: the one given, or more where honest images are alike;
            None where none were looked for.
    """

    pairs: npt.NDArray[np.int64]
    correlations: Floats
    threshold: float | None

    @classmethod
    def none(cls, threshold: float | None) -> Twins:
        """Return no pair."""
        return cls(np.zeros((0, 2), np.int64), np.zeros(0, np.float32), threshold)


def find_twins(images: Images, threshold: float, watch: Callable[[float, str], None]) -> Twins:
    """Find pairs of images that show the same.

    Where honest images are nearly as alike as twins (ones among digits), the threshold rises: a
    class must not become one group. What is usual is the correlation that one image in a
    thousand reaches with its sixth neighbour.

    Args:
        images: uint8 ``[N, H, W, C]``, square, of `LEAST_SIZE` or more.
        threshold: least correlation of a pair.
        watch: told the share that is done.
    """
    grey = _grey(images)
    hashes = _unit(dctn(grey, axes=(1, 2), norm="ortho")[:, :_LOW, :_LOW])
    near = _nearest(hashes, watch)
    found = np.full(near.shape, -1.0, np.float32)
    bands = _unit(_band(grey))
    for crop in _cropped(grey):
        cut = _unit(_band(crop))
        for place in range(near.shape[1]):  # a pair is looked at from both sides
            np.maximum(
                found[:, place],
                np.einsum("nd,nd->n", cut, bands[near[:, place]]),
                out=found[:, place],
            )
    watch(1.0, "twins")
    if near.shape[1] > _USUAL:
        usual = float(np.quantile(np.sort(found, axis=1)[:, -_USUAL - 1], 0.999))
        threshold = max(threshold, usual + _SHARE * (1.0 - usual))
    row, column = np.nonzero(found >= threshold)
    pairs = np.sort(np.stack([row, near[row, column]], axis=1), axis=1)
    order = np.lexsort((-found[row, column], pairs[:, 1], pairs[:, 0]))
    pairs, values = pairs[order], found[row, column][order]
    _, first = np.unique(pairs, axis=0, return_index=True)
    return Twins(pairs[first].astype(np.int64), values[first], threshold)


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


def _nearest(hashes: Floats, watch: Callable[[float, str], None]) -> npt.NDArray[np.int64]:
    """Return the nearest other rows of each by hash, ``[N, k]``."""
    count = min(_CANDIDATES, len(hashes) - 1)
    near = np.empty((len(hashes), count), dtype=np.int64)
    for start in range(0, len(hashes), _CHUNK):
        alike = hashes[start : start + _CHUNK] @ hashes.T
        own = np.arange(len(alike))
        alike[own, start + own] = -np.inf
        near[start : start + _CHUNK] = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        watch(0.9 * start / len(hashes), "looking for twins")
    return near


def _band(grey: Floats) -> Floats:
    fine, coarse = (gaussian_filter(grey, (0, blur, blur)) for blur in _BAND)
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
