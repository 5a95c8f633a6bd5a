"""Near-twins: the same scene at another exposure, crop, compression or size.

Candidates are the nearest by a perceptual hash (the lowest frequencies of the cosine transform,
Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", section 3.2.1,
kept as numbers rather than bits), of all of one image and parts of the other. They are confirmed
by the correlation of mean-free pixels in the band of frequencies that light and compression leave
alone, at the crop that is best for the pair.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.fft import dctn
from scipy.ndimage import correlate1d, gaussian_filter1d

from tasks.contracts.image_set import Images

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
LEAST_SIZE = 16  # pixels; in smaller images honest ones look alike
_SIDE = 32  # pixels at which images are compared, at most
_LOW = 8  # frequencies of the hash in each direction
_CANDIDATES = 16  # nearest images by hash that are looked at
_ALL_COMPARED = 20_000  # images whose hashes are all compared with each other
_PROBED = 32  # cells of more images that are searched for one
_LIKELY = 6  # of them that are followed to their best crop
_BAND = (0.7, 2.0)  # deviations of two blurs whose difference is compared, in pixels at `_SIDE`
_PART = 0.93  # of a side: what is looked at first is all of an image, and nine such parts of it
_SMALLEST = 0.86  # side of the smallest crop that is followed
_WORTH = 0.4  # correlation at first look above which a pair is followed
_STEPS, _FARTHEST = 3, 1.5  # towards the best crop; pixels that one step may go
_RIDGE = 1e-4  # added to correlations of terms, so that those of a plain image can be solved for
_FLAT = 0.1  # length in grey levels that only rounding leaves of what is flat
_BEYOND = 1.1  # of Fisher's z: how far twins have to go beyond what is usual
_CHUNK = 1024  # images that are hashed at a time
_COMPARED = 64  # images of which all crops are in memory at a time
_ALIKE = 2**22  # similarities of hashes that are in memory at a time


def is_sought(threshold: float | None, size: int) -> bool:
    """Tell whether twins are sought among images of that size in pixels."""
    return threshold is not None and size >= LEAST_SIZE


def find_twins(
    images: Images,
    threshold: float | None,
    watch: Callable[[float, str], None],
    scratch: Path | None = None,
) -> pd.DataFrame:
    """Find pairs of images that show the same.

    Where honest images are nearly as alike as twins (ones among digits), the threshold rises: a
    class must not become one group. What is usual is the correlation that one image in ten reaches
    with its sixth neighbour, so images may come in bursts; twins are beyond it by `_BEYOND` on the
    scale of Fisher's z, on which correlations spread alike wherever they lie (Fisher 1915,
    "Frequency distribution of the values of the correlation coefficient").

    Args:
        images: uint8 ``[N, H, W, C]``, square, no two of them equal.
        threshold: least correlation of a pair, below 1; None seeks none.
        watch: told the share that is done.
        scratch: folder on the disk for what does not stay in memory; None is the system's own.

    Returns:
        ``a`` and ``b`` (row numbers, a < b) and ``correlation``, sorted by rows; no pair where
        images are narrower than `LEAST_SIZE`.
    """
    if threshold is None or not is_sought(threshold, images.shape[1]) or len(images) < 2:
        none = pd.DataFrame({"a": [], "b": [], "correlation": []})
        return none.astype({"a": np.int64, "b": np.int64, "correlation": float})
    with tempfile.TemporaryFile(dir=scratch) as bands:
        near = _nearest(images, _described(images, bands), watch)
        compared = list(_correlations(images, bands, near, watch))
    near, found = (np.concatenate(parts) for parts in zip(*compared, strict=True))
    if found.shape[1] == _LIKELY:
        usual = np.quantile(found.min(axis=1), 0.9).clip(0.0, 1.0 - 1e-6)
        threshold = max(threshold, float(np.tanh(np.arctanh(usual) + _BEYOND)))
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
        hashes.append(_hash(grey))
        bands.write(_unit(_band(grey)).tobytes())
    bands.flush()
    return np.concatenate(hashes)


def _nearest(images: Images, hashes: Floats, watch: Callable[[float, str], None]) -> Rows:
    """Return the other rows nearest by hash to each image or a part of it, ``[N, k]``.

    Among more than `_ALL_COMPARED` images those of the likeliest cells alone are looked at (an
    inverted file: Sivic and Zisserman 2003, "Video Google", section 4), so that the time of an
    image rises with the root of their number.
    """
    cells = _cells(hashes)
    near = np.empty((len(hashes), min(_CANDIDATES, len(hashes) - 1)), dtype=np.int64)
    for start in range(0, len(hashes), _CHUNK):
        grey = _grey(images[start : start + _CHUNK])
        own = np.arange(start, start + len(grey))
        crops = _first_crops(grey.shape[1])[1:]
        parts = np.stack([hashes[own], *(_hash(_cropped(grey, crop)) for crop in crops)])
        near[own] = _nearest_in_cells(parts, own, hashes, cells, near.shape[1])
        done = start + len(grey)
        watch(done / len(images) / 2, f"looking for twins of {done}/{len(images)} images")
    return near


def _cells(hashes: Floats) -> tuple[Floats, list[Rows]]:
    """Return the centres of cells that the hashes fall into, ``[C, 64]``, and each cell's rows."""
    if len(hashes) <= _ALL_COMPARED:
        return hashes[:1], [np.arange(len(hashes))]
    from sklearn.cluster import MiniBatchKMeans  # a second, which few need

    number = int(2 * len(hashes) ** 0.5)
    means = MiniBatchKMeans(number, random_state=0, batch_size=_CHUNK, n_init=1, max_iter=10)
    cell = means.fit_predict(hashes)
    ends = np.cumsum(np.bincount(cell, minlength=number))[:-1]
    rows = np.split(np.argsort(cell, kind="stable"), ends)
    return np.asarray(means.cluster_centers_, dtype=np.float32), rows


def _nearest_in_cells(
    parts: Floats, own: Rows, hashes: Floats, cells: tuple[Floats, list[Rows]], count: int
) -> Rows:
    """Return the rows nearest to images of which all and the parts are hashed, ``[n, count]``."""
    centres, rows = cells
    probed = min(_PROBED, len(rows))
    asked = np.argpartition(-_alike(parts, centres), probed - 1, axis=1)[:, :probed]
    near = np.repeat((own[:, None] + 1) % len(hashes), count, axis=1)
    best = np.full(near.shape, -np.inf, dtype=np.float32)
    for cell in np.unique(asked):
        asking = np.flatnonzero((asked == cell).any(axis=1))
        step = max(1, _ALIKE // len(asking))
        for first in range(0, len(rows[cell]), step):
            members = rows[cell][first : first + step]
            alike = _alike(parts[:, asking], hashes[members])
            alike[own[asking, None] == members] = -np.inf
            alike = np.concatenate([best[asking], alike], axis=1)
            place = np.argpartition(-alike, count - 1, axis=1)[:, :count]
            best[asking] = np.take_along_axis(alike, place, axis=1)
            kept = np.take_along_axis(near[asking], place.clip(max=count - 1), axis=1)
            near[asking] = np.where(place < count, kept, members[(place - count).clip(min=0)])
    return near


def _alike(parts: Floats, hashes: Floats) -> Floats:
    """Return how like a hash the likest part of an image is, ``[n, m]``, of ``[10, n, 64]``."""
    alike = np.asarray(parts[0] @ hashes.T)
    for part in parts[1:]:
        np.maximum(alike, part @ hashes.T, out=alike)
    return alike


def _correlations(
    images: Images, bands: IO[bytes], near: Rows, watch: Callable[[float, str], None]
) -> Iterator[tuple[Rows, Floats]]:
    """Yield the likeliest twins of some images and the correlation with each, both ``[n, k]``.

    It is that of a crop of the image with all of the other, so a pair is looked at from both sides.
    """
    for start in range(0, len(images), _COMPARED):
        grey, rows = _grey(images[start : start + _COMPARED]), near[start : start + _COMPARED]
        first = _first_crops(grey.shape[1])
        # mapped anew each time: what was read of a map counts as memory while it lasts
        others = np.memmap(bands, np.float32, "r", shape=(len(images), grey[0].size))[rows]
        seen = np.stack([_unit(_band(_cropped(grey, crop))) for crop in first], axis=1)
        alike = seen @ others.transpose(0, 2, 1)
        likely = np.argsort(-alike.max(axis=1), axis=1, kind="stable")[:, :_LIKELY]
        found = np.take_along_axis(alike.max(axis=1), likely, axis=1)
        image, place = np.nonzero(found > _WORTH)
        other = likely[image, place]
        crops = first[alike.argmax(axis=1)[image, other]]
        followed = _followed(grey[image], others[image, other], crops)
        found[image, place] = np.maximum(found[image, place], followed)
        yield np.take_along_axis(rows, likely, axis=1), found
        done = start + len(grey)
        watch(0.5 + done / len(images) / 2, f"comparing {done}/{len(images)} images with others")


def _followed(grey: Floats, others: Floats, crops: Floats) -> Floats:
    """Return the correlation of images with others at the crops that bring them closest, ``[P]``.

    Least squares tell from an image's slopes how its crop has to move and grow (Lucas and Kanade
    1981, "An iterative image registration technique"). The Laplacian beside them stands for
    sharpness, of which a copy made smaller has lost some.

    Args:
        grey: ``[P, S, S]``.
        others: their bands, ``[P, S * S]``.
        crops: where to begin, ``[P, 3]``, see `_first_crops`.
    """
    side = grey.shape[1]
    middle = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    for _ in range(_STEPS):
        band = _band(_cropped(grey, crops))
        right, down = (correlate1d(band, [-0.5, 0.0, 0.5], axis) for axis in (2, 1))
        wider = right * middle + down * middle[:, None]
        weights, _ = _fitted([band, _laplacian(band), right, down, wider], others)
        gain = np.where(weights[:, 0] > 0.0, weights[:, 0], np.inf)
        moved = (weights[:, 2:] / gain[:, None]).clip(-_FARTHEST, _FARTHEST)
        share = (crops[:, :1] * (1.0 + moved[:, 2:] / side)).clip(_SMALLEST, 1.0)
        centre = crops[:, 1:] + crops[:, :1] * (side / 2 + moved[:, :2])
        start = (centre - share * side / 2).clip(0.0, (1.0 - share) * side)
        crops = np.concatenate([share, start], axis=1, dtype=np.float32)
    band = _band(_cropped(grey, crops))
    weights, correlation = _fitted([band, _laplacian(band)], others)
    return np.where(weights[:, 0] > 0.0, correlation, -correlation)


def _fitted(terms: list[Floats], others: Floats) -> tuple[Floats, Floats]:
    """Fit others by terms of ``[P, S, S]`` each: weights ``[P, terms]``, correlation ``[P]``."""
    values = np.stack([term.reshape(others.shape) for term in terms], axis=1)
    values -= values.mean(axis=2, keepdims=True)
    lengths = np.maximum(np.linalg.norm(values, axis=2), _FLAT)
    values /= lengths[..., None]
    alike = values @ values.transpose(0, 2, 1) + _RIDGE * np.eye(len(terms), dtype=np.float32)
    with_other = values @ others[..., None]
    weights = np.linalg.solve(alike, with_other)[..., 0]
    explained = (weights * with_other[..., 0]).sum(axis=1).clip(0.0, 1.0)
    return weights / lengths, np.sqrt(explained)


def _first_crops(side: int) -> Floats:
    """Return all of an image and nine parts, ``[10, 3]``: share of a side, first column and row."""
    places = np.linspace(0.0, (1.0 - _PART) * side, 3)
    parts = [(_PART, x, y) for x in places for y in places]
    return np.array([(1.0, 0.0, 0.0), *parts], dtype=np.float32)


def _cropped(grey: Floats, crops: Floats) -> Floats:
    """Return crops of ``[P, S, S]``, one for all ``[3]`` or one each ``[P, 3]``, as wide as before.

    Cropping works on rows and columns alike, so it is a product with a matrix of each.
    """
    share, x, y = crops[..., 0], crops[..., 1], crops[..., 2]
    columns, rows = (_interpolation(grey.shape[1], share, first) for first in (x, y))
    return np.asarray(rows.swapaxes(-1, -2) @ (grey @ columns), dtype=np.float32)


def _interpolation(side: int, share: Floats, first: Floats) -> Floats:
    """Return ``[..., S, S]`` that makes a part of a side as long as all of it, cubically.

    Keys 1981, "Cubic convolution interpolation for digital image processing", equation 15; beyond
    the border weights are shared among those inside.
    """
    place = first[..., None] + share[..., None] * (np.arange(side, dtype=np.float32) + 0.5) - 0.5
    far = np.abs(np.arange(side, dtype=np.float32)[:, None] - place[..., None, :])
    close = (1.5 * far - 2.5) * far * far + 1.0
    next_to = ((-0.5 * far + 2.5) * far - 4.0) * far + 2.0
    weights = np.where(far < 1.0, close, np.where(far < 2.0, next_to, 0.0))
    return np.asarray(weights / weights.sum(axis=-2, keepdims=True), dtype=np.float32)


def _band(grey: Floats) -> Floats:
    """Return the frequencies of ``[N, S, S]`` that are compared."""
    fine, coarse = _blurs(grey.shape[1])
    return np.asarray(fine @ grey @ fine.T - coarse @ grey @ coarse.T, dtype=np.float32)


@lru_cache
def _blurs(side: int) -> tuple[Floats, Floats]:
    # by the root: a band as narrow as half the image would be is mostly what sampling leaves of it
    scale = (side / _SIDE) ** 0.5
    one = np.eye(side, dtype=np.float32)
    fine, coarse = (gaussian_filter1d(one, blur * scale, axis=0) for blur in _BAND)
    return fine, coarse


def _laplacian(values: Floats) -> Floats:
    down, right = (correlate1d(values, [1.0, -2.0, 1.0], axis) for axis in (1, 2))
    return np.asarray(down + right, dtype=np.float32)


def _hash(grey: Floats) -> Floats:
    return _unit(dctn(grey, axes=(1, 2), norm="ortho")[:, :_LOW, :_LOW])


def _grey(images: Images) -> Floats:
    """Return float32 ``[N, S, S]``, S at most `_SIDE`."""
    block = max(1, images.shape[1] // _SIDE)
    side = images.shape[1] // block
    grey = images.mean(axis=3, dtype=np.float32)
    blocks = grey.reshape(len(grey), side, block, side, block)
    return np.asarray(blocks.mean(axis=(2, 4)), dtype=np.float32)


def _unit(values: Floats) -> Floats:
    """Return ``[N, D]`` of mean 0 and length 1."""
    flat = values.reshape(len(values), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), _FLAT)
    return np.asarray(flat / length, dtype=np.float32)
