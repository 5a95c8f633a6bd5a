"""Classification metrics on weighted sums, so that one call serves every resample.

Every metric here needs a few sums and no more: by class the weight of hits, of predictions
and of images, and the weighted loss. A callable takes them for any number of runs and
resamples at once. A new metric is one function and one entry in `METRICS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tasks.contracts.errors import UserError
from tasks.contracts.params.report import RECALL

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
_LEAST = float(np.finfo(np.float64).eps)  # as scikit-learn's log_loss clips


@dataclass(frozen=True)
class Counts:
    """Weighted sums.

    Attributes:
        hits: weight of the images of class k that were predicted as k ``[..., K]``.
        predicted: weight of the images that were predicted as k ``[..., K]``.
        actual: weight of the images of class k ``[..., K]``.
        loss: weighted sum of -log p(label) in nats ``[...]``.
    """

    hits: Floats
    predicted: Floats
    actual: Floats
    loss: Floats


class Counter:
    """Counts for fixed predictions under any image weights.

    Args:
        labels: true labels ``[N]``, 0 to K-1.
        predicted: predicted labels of S runs ``[S, N]``, 0 to K-1.
        p_label: probability that each run gave the true label ``[S, N]``, 0 to 1.
        classes: K.
    """

    def __init__(self, labels: Labels, predicted: Labels, p_label: Floats, classes: int) -> None:
        self._shape = (len(predicted), classes)
        rows = np.arange(len(predicted))[:, None] * classes + predicted
        images = np.broadcast_to(np.arange(len(labels)), predicted.shape)
        hit = predicted == labels
        self._predicted = _indicator(rows, images, len(predicted) * classes, len(labels))
        self._hits = _indicator(rows[hit], images[hit], len(predicted) * classes, len(labels))
        self._actual = _indicator(labels, np.arange(len(labels)), classes, len(labels))
        self._loss = -np.log(np.clip(p_label, _LEAST, 1.0))

    def __call__(self, weights: Floats) -> Counts:
        """Return counts ``[B, S, K]`` under image weights ``[B, N]``, each at least 0."""
        by_image = np.ascontiguousarray(weights.T)
        shape = (len(weights), *self._shape)
        return Counts(
            hits=(self._hits @ by_image).T.reshape(shape),
            predicted=(self._predicted @ by_image).T.reshape(shape),
            actual=np.broadcast_to((self._actual @ by_image).T[:, None, :], shape),
            loss=weights @ self._loss.T,
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


def log_loss(counts: Counts) -> Floats:
    """Return the weighted mean of -log p(label), ``[...]``, at least 0, in nats."""
    return _ratio(counts.loss, counts.actual.sum(axis=-1))


def recall_of(counts: Counts, label: int) -> Floats:
    """Return the recall of one class, ``[...]``, 0 to 1."""
    return recall(counts)[..., label]


@dataclass(frozen=True)
class Metric:
    """A metric, and how its lifts are told.

    Attributes:
        key: its name in ``lift.json``.
        title: its name for people.
        column: its column in the runs; on real/val ``val_`` comes before it.
        of: from counts to its value.
        factor: from a difference to a lift; negative where less is better.
        unit: of a lift.
        most: its largest value; the smallest is 0.
        label: the one class that it is about, None for all.
    """

    key: str
    title: str
    column: str
    of: Callable[[Counts], Floats]
    factor: float = 100.0
    unit: str = "percentage points"
    most: float = 1.0
    label: int | None = None


METRICS = {
    metric.key: metric
    for metric in (
        Metric("balanced_accuracy", "balanced accuracy", "balanced_accuracy", balanced_accuracy),
        Metric("accuracy", "accuracy", "accuracy", accuracy),
        Metric("macro_f1", "macro F1", "macro_f1", macro_f1),
        Metric("log_loss", "log loss", "log_loss", log_loss, -100.0, "hundredths of a nat", np.inf),
    )
}


def metric_named(key: str, class_names: Sequence[str]) -> Metric:
    """Return an entry of `METRICS`, or for ``recall:CLASS`` the recall of that class.

    Raises:
        UserError: there is no such class.
    """
    if key in METRICS:
        return METRICS[key]
    name = key.removeprefix(RECALL)
    if name not in class_names:
        nearest = get_close_matches(name, class_names, n=1, cutoff=0.0)[0]
        raise UserError(
            "report.primary_metric",
            f"there is no class {name!r} to take the recall of",
            f"The nearest is {RECALL}{nearest}",
        )
    label = list(class_names).index(name)
    measure = partial(recall_of, label=label)
    return Metric(key, f"recall of ‘{name}’", f"recall_{label}", measure, label=label)


def _indicator(rows: Labels, columns: Labels, height: int, width: int) -> sparse.csr_array:
    """Return the matrix with a one at each (row, column)."""
    ones = np.ones(np.size(rows))
    return sparse.csr_array((ones, (np.ravel(rows), np.ravel(columns))), shape=(height, width))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """Divide, NaN where the divisor is 0."""
    quotient: Floats = np.full(np.shape(bottom), np.nan)
    return np.divide(top, bottom, out=quotient, where=bottom > 0)
