"""Near-twins: the same scene at another exposure, crop, compression or size.

Candidates are the nearest by a perceptual hash (the lowest frequencies of the cosine transform,
Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", section 3.2.1,
kept as numbers rather than bits). They are confirmed by the correlation of mean-free pixels in the
band of frequencies that light and compression leave alone, at the best of a few crops.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter1d

from tasks.contracts.image_set import Images

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
LEAST_SIZE = 16  # pixels; in smaller images honest ones look alike
_SIDE = 32  # pixels at which images are compared, at most
_LOW = 8  # frequencies of the hash in each direction
_CANDIDATES = 16  # nearest images by hash that are looked at
_BAND = (0.7, 2.0)  # deviations of two blurs whose difference is compared, in pixels at `_SIDE`
_CROPS = (1.0, 0.975, 0.95, 0.925, 0.9, 0.875)  # sides of what the twin may show
_PLACES = (0.0, 1 / 3, 2 / 3, 1.0)
_FLAT = 0.1  # length in grey levels that only rounding leaves of what is flat
_USUAL = 5  # how many neighbours of an image may be its twins while the next says what is usual
_SHARE = 0.25  # of the way from what is usual to 1 that twins have to go beyond it
_CHUNK = 1024  # images that are hashed at a time
_COMPARED = 64  # images of which all crops are in memory at a time
_ALIKE = 2**24  # similarities of hashes that are in memory at a time


def find_twins(
    images: Images, threshold: float | None, scratch: Path | None = None
) -> pd.DataFrame:
    """Find pairs of images that show the same.

    Where honest images are nearly as alike as twins (ones among digits), the threshold rises: a
    class must not become one group. What is usual is the correlation that one image in a
    thousand reaches with its sixth neighbour.

    Args:
        images: uint8 ``[N, H, W, C]``, square, no two of them equal.
        threshold: least correlation of a pair, below 1; None seeks none.
        scratch: folder on the disk for what does not stay in memory; None is the system's own.

    Returns:
        ``a`` and ``b`` (row numbers, a < b) and ``correlation``, sorted by rows; no pair where
        images are narrower than `LEAST_SIZE`.
    """
    if threshold is None or len(images) < 2 or images.shape[1] < LEAST_SIZE:
        none = pd.DataFrame({"a": [], "b": [], "correlation": []})
        return none.astype({"a": np.int64, "b": np.int64, "correlation": float})
    with tempfile.TemporaryFile(dir=scratch) as bands:
        near = _nearest(_described(images, bands))
        found = np.concatenate(list(_correlations(images, bands, near)))
    if near.shape[1] > _USUAL:
        usual = float(np.quantile(np.sort(found, axis=1)[:, -_USUAL - 1], 0.999))
        threshold = max(threshold, usual + _SHARE * (1.0 - usual))
    row, place = np.nonzero(found >= threshold)
    pairs = np.sort(np.stack([row, near[row, place]], axis=1), axis=1)
    values = found[row, place].astype(np.float64).round(4)
    table = pd.DataFrame({"a": pairs[:, 0], "b": pairs[:, 1], "correlation": values})
    best = table.sort_values(["a", "b", "correlation"], ascending=[True, True, False])
    return best.drop_duplicates(["a", "b"]).reset_index(drop=True)


def _described(images: Images, bands: IO[bytes]) -> Floats:
    """Return each image's hash, ``[N, 64]``; write its band of frequencies, ``[S * S]`` each."""
    hashes = []
    for start in range(0, len(images), _CHUNK):
        grey = _grey(images[start : start + _CHUNK])
        hashes.append(_unit(dctn(grey, axes=(1, 2), norm="ortho")[:, :_LOW, :_LOW]))
        (whole,) = _bands(grey, _CROPS[:1])
        bands.write(_unit(whole[:, 0]).tobytes())
    bands.flush()
    return np.concatenate(hashes)


def _correlations(images: Images, bands: IO[bytes], near: Rows) -> Iterator[Floats]:
    """Yield the correlation of images with the nearest of each at its best crop, ``[n, k]``."""
    for start in range(0, len(images), _COMPARED):
        grey, rows = _grey(images[start : start + _COMPARED]), near[start : start + _COMPARED]
        size = grey.shape[1] * grey.shape[2]
        # mapped anew each time: what was read of a map counts as memory while it lasts
        others = np.memmap(bands, np.float32, "r", shape=(len(images), size))[rows]
        found = np.full(rows.shape, -1.0, np.float32)
        for crops in _bands(grey, _CROPS):  # a pair is looked at from both sides
            count = crops.shape[1]
            units = _unit(crops.reshape(-1, size)).reshape(len(grey), count, size)
            alike = units @ others.transpose(0, 2, 1)
            np.maximum(found, alike.max(axis=1), out=found)
        yield found


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
    length = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), _FLAT)
    return np.asarray(flat / length, dtype=np.float32)


def _nearest(hashes: Floats) -> Rows:
    """Return the nearest other rows of each by hash, ``[N, k]``."""
    count = min(_CANDIDATES, len(hashes) - 1)
    near = np.empty((len(hashes), count), dtype=np.int64)
    step = max(1, min(_CHUNK, _ALIKE // len(hashes)))
    for start in range(0, len(hashes), step):
        alike = hashes[start : start + step] @ hashes.T
        own = np.arange(len(alike))
        alike[own, start + own] = -np.inf
        near[start : start + step] = np.argpartition(-alike, count - 1, axis=1)[:, :count]
    return near


def _bands(grey: Floats, shares: Sequence[float]) -> Iterator[Floats]:
    """Yield for each share all crops of it, back at the old size, in the band that is compared.

    Cropping, resizing and blurring are linear and work on rows and columns alike, so each is a
    product with a matrix of one side.

    Args:
        grey: ``[N, S, S]``.
        shares: sides of the crops.

    Yields:
        float32 ``[N, crops, S, S]``.
    """
    count, side = len(grey), grey.shape[1]
    for share in shares:
        fine, coarse = (_crop_and_blur(side, share, blur * side / _SIDE) for blur in _BAND)
        bands = []
        for blurred in (fine, coarse):
            wide = grey.reshape(-1, side) @ blurred  # [N * S, places * S]
            tall = blurred.T @ wide.reshape(count, side, -1)  # [N, places * S, places * S]
            bands.append(tall)
        places = len(fine.T) // side
        crops = (bands[0] - bands[1]).reshape(count, places, side, places, side)
        yield crops.transpose(0, 1, 3, 2, 4).reshape(count, places**2, side, side)


@lru_cache
def _crop_and_blur(side: int, share: float, blur: float) -> Floats:
    """Return what crops one side at every place, resizes and blurs it: ``[S, places * S]``."""
    one = Image.fromarray(np.eye(side, dtype=np.float32))
    matrices = []
    for place in _PLACES if share < 1.0 else (0.0,):
        first = place * (1.0 - share) * side
        box = (first, 0, first + share * side, side)
        resized = np.asarray(one.resize((side, side), Image.Resampling.BILINEAR, box=box))
        matrices.append(gaussian_filter1d(resized, blur, axis=1))
    return np.concatenate(matrices, axis=1)
