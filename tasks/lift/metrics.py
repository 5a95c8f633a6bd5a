"""Classification metrics on weighted counts, so that one call serves every resample.

Every metric here needs three sums per class and no more: the weight of hits, of predictions
and of images. A callable takes them for any number of runs and resamples at once. A new
metric is one function and one entry in `METRICS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """Weighted sums per class, each ``[..., K]`` and at least 0.

    Attributes:
        hits: weight of the images of class k that were predicted as k.
        predicted: weight of the images that were predicted as k.
        actual: weight of the images of class k.
    """

    hits: Floats
    predicted: Floats
    actual: Floats


class Counter:
    """Counts for fixed predictions under any image weights.

    Args:
        labels: true labels ``[N]``, 0 to K-1.
        predicted: predicted labels of S runs ``[S, N]``, 0 to K-1.
        classes: K.
    """

    def __init__(self, labels: Labels, predicted: Labels, classes: int) -> None:
        self._shape = (len(predicted), classes)
        rows = np.arange(len(predicted))[:, None] * classes + predicted
        images = np.broadcast_to(np.arange(len(labels)), predicted.shape)
        hit = predicted == labels
        self._predicted = _indicator(rows, images, len(predicted) * classes, len(labels))
        self._hits = _indicator(rows[hit], images[hit], len(predicted) * classes, len(labels))
        self._actual = _indicator(labels, np.arange(len(labels)), classes, len(labels))

    def __call__(self, weights: Floats) -> Counts:
        """Return counts ``[B, S, K]`` under image weights ``[B, N]``, each at least 0."""
        by_image = np.ascontiguousarray(weights.T)
        shape = (len(weights), *self._shape)
        return Counts(
            hits=(self._hits @ by_image).T.reshape(shape),
            predicted=(self._predicted @ by_image).T.reshape(shape),
            actual=np.broadcast_to((self._actual @ by_image).T[:, None, :], shape),
        )


def recall(counts: Counts) -> Floats:
    """Return the share of each class that was hit, ``[..., K]``; NaN for a class without weight."""
    return _ratio(counts.hits, counts.actual)


def balanced_accuracy(counts: Counts) -> Floats:
    """Return the mean recall over the classes that have weight, ``[...]``, 0 to 1."""
    present = counts.actual > 0
    summed = np.where(present, recall(counts), 0.0).sum(axis=-1)
    return _ratio(summed, present.sum(axis=-1).astype(np.float64))


def accuracy(counts: Counts) -> Floats:
    """Return the weighted share of hits, ``[...]``, 0 to 1."""
    return _ratio(counts.hits.sum(axis=-1), counts.actual.sum(axis=-1))


def macro_f1(counts: Counts) -> Floats:
    """Return the mean F1 over the classes that were present or predicted, ``[...]``, 0 to 1."""
    weight = counts.actual + counts.predicted
    seen = weight > 0
    summed = np.where(seen, _ratio(2.0 * counts.hits, weight), 0.0).sum(axis=-1)
    return _ratio(summed, seen.sum(axis=-1).astype(np.float64))


METRICS: dict[str, Callable[[Counts], Floats]] = {
    "balanced_accuracy": balanced_accuracy,
    "accuracy": accuracy,
    "macro_f1": macro_f1,
}


def _indicator(rows: Labels, columns: Labels, height: int, width: int) -> sparse.csr_array:
    """Return the matrix with a one at each (row, column)."""
    ones = np.ones(np.size(rows))
    return sparse.csr_array((ones, (np.ravel(rows), np.ravel(columns))), shape=(height, width))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """Divide, NaN where the divisor is 0."""
    quotient: Floats = np.full(np.shape(bottom), np.nan)
    return np.divide(top, bottom, out=quotient, where=bottom > 0)
