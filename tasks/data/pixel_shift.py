"""Pixel statistics compared: an image with its class, a split with the training images.

Neither says that an image is wrong, only where to look.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

STATISTICS = {"brightness": "brightness", "pixel_std": "contrast", "sharpness": "sharpness"}
"""Column of `pixel_stats` -> what a person calls it."""

_MAD_TO_STD = 1.4826  # of a normal distribution
_LEAST_SPREAD = 2.0  # grey levels: among near-equal images a step that nobody sees is no outlier
_LEAST_IMAGES = 10  # of a class that has a median of its own
_BY_CHANCE = 1.95  # Kolmogorov-Smirnov's coefficient at a risk of 0.1 %


def with_robust_z(frame: pd.DataFrame, train: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with ``brightness_z`` and ``contrast_z`` of every image.

    The robust z is the distance to the median of the image's class in train, in standard
    deviations estimated by the median absolute deviation (Iglewicz and Hoaglin, 1993). A class
    of fewer than 10 training images is compared with all of them.

    Args:
        frame: ``label`` beside `pixel_stats`.
        train: likewise of the training images.
    """
    scored = {}
    for column in ("brightness", "pixel_std"):
        values = frame[column].to_numpy(np.float64)
        z = np.zeros(len(frame))
        for label in frame["label"].unique():
            own = train.loc[train["label"] == label, column]
            reference = own if len(own) >= _LEAST_IMAGES else train[column]
            rows = (frame["label"] == label).to_numpy()
            z[rows] = _robust_z(values[rows], reference.to_numpy(np.float64))
        scored[f"{STATISTICS[column]}_z"] = z
    return frame.assign(**scored)


def drift(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Measure how far val and test lie from train in brightness, contrast and sharpness.

    Classes count as they do in train, so that another mix of classes is no drift.

    Args:
        frames: split -> ``label`` and ``group`` beside `pixel_stats`, with ``train``.

    Returns:
        A row for each other split and statistic: ``compared`` ("brightness of test"), ``split``
        and ``drift``: the part of the Kolmogorov-Smirnov distance (0 to 1) that chance does not
        explain at a risk of 0.1 %, with a group as the unit, since its images are alike.
    """
    train = frames["train"]
    rows = []
    for split, frame in frames.items():
        if split == "train":
            continue
        own = train[train["label"].isin(frame["label"])]
        other = frame[frame["label"].isin(train["label"])]
        if not len(own):  # no class in common, so there is nothing to compare
            continue
        units = own["group"].nunique(), other["group"].nunique()
        chance = _BY_CHANCE * (1 / max(1, units[0]) + 1 / max(1, units[1])) ** 0.5
        for column, name in STATISTICS.items():
            beyond = max(0.0, _distance(own, other, column) - chance)
            rows.append((f"{name} of {split}", split, round(beyond, 3)))
    return pd.DataFrame(rows, columns=["compared", "split", "drift"])


def _robust_z(values: Floats, reference: Floats) -> Floats:
    if not len(reference):
        return np.zeros(len(values))
    median = np.median(reference)
    spread = _MAD_TO_STD * np.median(np.abs(reference - median))
    z: Floats = (values - median) / max(_LEAST_SPREAD, spread)
    return z


def _distance(train: pd.DataFrame, other: pd.DataFrame, column: str) -> float:
    """Return the largest gap between two distribution functions; classes weigh as in train."""
    share = train["label"].value_counts(normalize=True)
    weight = other["label"].map(share / other["label"].value_counts())
    grid = np.unique(np.concatenate([train[column], other[column]]))
    even = pd.Series(1 / len(train), index=train.index)
    gap = _distribution(train[column], even, grid) - _distribution(other[column], weight, grid)
    return float(np.abs(gap).max())


def _distribution(values: pd.Series[float], weight: pd.Series[float], grid: Floats) -> Floats:
    """Return the weighted distribution function of values at each point of the grid."""
    numbers = values.to_numpy(np.float64)
    order = np.argsort(numbers, kind="stable")
    summed = np.concatenate([[0.0], np.cumsum(weight.to_numpy(np.float64)[order])])
    result: Floats = summed[np.searchsorted(numbers[order], grid, side="right")]
    return result
