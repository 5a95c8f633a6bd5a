"""Near-twins: the same scene at another exposure, JPEG quality or size.

Two pictures are compared by the correlation of their grey, mean-free pixels, which brightness
and contrast leave alone. Candidates are neighbours in the low frequencies that the perceptual
hash cuts into bits (Zauner 2010); here they stay numbers, so that a tree can find the nearest few
of each image without comparing all with all.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

from tasks.contracts.image_set import Images

SMALLEST = 16  # pixels: honest digits of 8 px correlate as highly as copies do (bench/twins.py)
SHARP = "pixels correlate"
BLURRED = "pixels correlate once both are blurred"
_BLUR = 1 / 16  # standard deviation of the blur, in widths of an image
_STRICTER = 8  # how many times nearer to 1 blurred pixels must correlate
_NEIGHBOURS = 6  # candidates of an image, itself among them
_LOWEST = 5  # sum of the two frequencies up to which candidates are told apart
_CHUNK = 4096  # images or pairs in memory as floats at a time
_Floats = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.int64]


def find_twins(images: Images, threshold: float | None) -> pd.DataFrame:
    """Find pairs of images that show the same scene.

    A pair are twins if their pixels correlate by the threshold, or if, both blurred by a
    sixteenth of their width, they fall short of 1 by no more than an eighth of what the threshold
    allows: another resolution or JPEG quality takes detail away and leaves the rest as it was.

    Args:
        images: uint8 ``[N, H, W, C]``, square, no two of them equal.
        threshold: least correlation, above 0 and below 1; None seeks no pair.

    Returns:
        ``a`` and ``b`` (row numbers, a < b), ``correlation`` (of the pixels as `reason` says) and
        ``reason`` (`SHARP` or `BLURRED`), sorted by rows; no pair where images are narrower than
        `SMALLEST`.
    """
    if threshold is None or len(images) < 2 or images.shape[1] < SMALLEST:
        none = pd.DataFrame({"a": [], "b": [], "correlation": [], "reason": []})
        return none.astype({"a": np.int64, "b": np.int64, "correlation": float, "reason": "str"})
    # unit-length pixels that correlate by t lie sqrt(2 - 2t) apart, their low frequencies no further
    pairs = _candidates(images, np.sqrt(2 * (1 - threshold)))
    parts = [pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK)] or [pairs]
    return pd.concat([_confirmed(images, part, threshold) for part in parts], ignore_index=True)


def _candidates(images: Images, radius: float) -> _Rows:
    """Return pairs ``[P, 2]`` of images whose low frequencies lie within a radius."""
    chunks = range(0, len(images), _CHUNK)
    points = np.concatenate([_low_frequencies(images[at : at + _CHUNK]) for at in chunks])
    _, found = KDTree(points).query(
        points, k=min(_NEIGHBOURS, len(points)), distance_upper_bound=radius
    )
    rows = np.repeat(np.arange(len(points)), found.shape[1])
    others = found.ravel().astype(np.int64)
    real = (others < len(points)) & (others != rows)  # the number of points stands for none
    pairs = np.stack([rows[real], others[real]], axis=1)
    return np.unique(np.sort(pairs, axis=1), axis=0)


def _confirmed(images: Images, pairs: _Rows, threshold: float) -> pd.DataFrame:
    one, other = _grey(images[pairs[:, 0]]), _grey(images[pairs[:, 1]])
    sigma = (0, _BLUR * images.shape[1], _BLUR * images.shape[2])
    sharp = _correlation(one, other)
    blurred = _correlation(gaussian_filter(one, sigma), gaussian_filter(other, sigma))
    alike = sharp >= threshold
    table = pd.DataFrame(
        {
            "a": pairs[:, 0],
            "b": pairs[:, 1],
            "correlation": np.where(alike, sharp, blurred).round(4),
            "reason": np.where(alike, SHARP, BLURRED).astype(object),
        }
    )
    return table[alike | (blurred >= 1 - (1 - threshold) / _STRICTER)].reset_index(drop=True)


def _grey(images: Images) -> _Floats:
    grey: _Floats = images.mean(axis=-1, dtype=np.float32)
    return grey


def _low_frequencies(images: Images) -> _Floats:
    """Return what of each unit-length, mean-free image lies in its lowest frequencies."""
    grey = _grey(images)
    across, down = np.indices((_LOWEST + 1, _LOWEST + 1))
    chosen = (across + down <= _LOWEST) & (across + down > 0)
    waves = dctn(_unit(grey), axes=(1, 2), norm="ortho")
    lowest: _Floats = waves[:, : _LOWEST + 1, : _LOWEST + 1][:, chosen]
    return lowest


def _correlation(one: _Floats, other: _Floats) -> npt.NDArray[np.float64]:
    result: npt.NDArray[np.float64] = np.einsum(
        "nhw,nhw->n", _unit(one), _unit(other), dtype=np.float64
    )
    return result


def _unit(grey: _Floats) -> _Floats:
    """Take each image's mean away and make its length 1; a blank one stays 0."""
    free: _Floats = grey - grey.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt(np.square(free).sum(axis=(1, 2), keepdims=True))
    result: _Floats = free / np.maximum(length, 1e-3)
    return result
