"""Classifiers that judge images which they were not trained on: one a fold of real/train.

Of many images and classes only what is made of the probabilities is held, not they themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import nn

from tasks.classifier.examples import Examples
from tasks.classifier.training import BATCH, Probabilities, Schedule, fit, probabilities
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, Labels
from tasks.contracts.workers import spread

Columns = dict[str, npt.NDArray[Any]]
Reduce = Callable[[Probabilities, Labels], Mapping[str, npt.NDArray[Any]]]
"""What is made of the probabilities ``[n, K]`` of images and their labels ``[n]``: columns."""

_SPAN = 16 * BATCH  # images that one process judges at a time
Watch = Callable[[float, str], None]


@dataclass(frozen=True)
class CrossFit:
    """F classifiers, each trained on all folds but its own.

    Attributes:
        networks: one a fold.
        train: the N images that the folds are of.
        fold_of: ``[N]``, the fold of each.
    """

    networks: Sequence[nn.Module]
    train: Examples
    fold_of: Labels

    def members(self, images: Examples) -> Probabilities:
        """Return what each classifier says of a few images, float32 ``[F, n, K]``."""
        jobs = ((network, images) for network in self.networks)
        return np.stack(list(spread(probabilities, jobs)))

    def out_of_fold(self, reduce: Reduce) -> Columns:
        """Reduce what is said of each training image by the one that did not train on it."""
        rows = [np.flatnonzero(self.fold_of == fold) for fold in range(len(self.networks))]
        jobs = [
            ([one], self.train.take(r), reduce) for one, r in zip(self.networks, rows, strict=True)
        ]
        columns = _joined(list(spread(_reduced, jobs)))
        order = np.argsort(np.concatenate(rows))
        return {name: column[order] for name, column in columns.items()}

    def together(self, images: Examples, reduce: Reduce, watch: Watch) -> Columns:
        """Reduce what all classifiers say on average of each of M images."""
        spans = [
            np.arange(start, min(start + _SPAN, len(images)))
            for start in range(0, len(images), _SPAN)
        ]
        jobs = ((self.networks, images.take(span), reduce) for span in spans)
        parts = []
        for part in spread(_reduced, jobs):
            parts.append(part)
            watch(len(parts) / len(spans), "classifiers judge")
        return _joined(parts)


def mean_of(members: Probabilities) -> Probabilities:
    """Return the mean ``[n, K]`` of what classifiers say, ``[F, n, K]``."""
    mean: Probabilities = members.sum(axis=0, dtype=np.float64) / len(members)
    return mean.astype(np.float32)


def cross_fit(
    train: ImageSet, schedule: Schedule, *, folds: int, seed: int, watch: Watch
) -> CrossFit:
    """Fit one classifier a fold, on the other folds, in worker processes.

    Raises:
        UserError: more folds than groups of training images, or a training diverged.
    """
    groups = pd.factorize(train.manifest["group"])[0].astype(np.int64)
    if folds > len(set(groups.tolist())):
        raise UserError(
            f"quality_filter.folds: {folds}",
            f"more than the {len(set(groups.tolist()))} groups of training images",
            "Use 2 to 10",
        )
    examples, classes = Examples.of(train), len(train.class_names)
    fold_of = stratified_folds(examples.labels, groups, folds, seed)
    jobs = (
        (examples.take(np.flatnonzero(fold_of != fold)), schedule, classes, seed + fold)
        for fold in range(folds)
    )
    networks = []
    for network in spread(_fitted, jobs):
        networks.append(network)
        watch(len(networks) / folds, f"classifier {len(networks)}/{folds}")
    return CrossFit(networks, examples, fold_of)


def stratified_folds(labels: Labels, groups: Labels, folds: int, seed: int) -> Labels:
    """Give each row a fold, ``[N]`` in 0..folds-1: even, every class evenly spread, groups whole.

    A group is dealt as one of the class of its first row. scikit-learn's ``StratifiedGroupKFold``
    refuses classes of fewer images than folds.
    """
    rng = np.random.default_rng([seed, 3])
    _, firsts, members = np.unique(groups, return_index=True, return_inverse=True)
    ordered = np.sort(firsts)  # groups in the order of their first rows
    of_group = labels[ordered]
    classes = [np.flatnonzero(of_group == label) for label in np.unique(of_group)]
    dealt = np.concatenate([rng.permutation(rows) for rows in classes])
    fold_of = np.empty(len(ordered), dtype=np.int64)
    fold_of[dealt] = np.arange(len(ordered)) % folds  # the next class goes on where one ends
    result: Labels = fold_of[np.searchsorted(ordered, firsts[members])]
    return result


def _fitted(train: Examples, schedule: Schedule, classes: int, seed: int) -> nn.Module:
    return fit(train, schedule, classes=classes, augment=True, flip=False, seed=seed)


def _reduced(networks: Sequence[nn.Module], images: Examples, reduce: Reduce) -> Columns:
    """Judge images by the mean of networks, a batch at a time."""
    parts = []
    for start in range(0, len(images), BATCH):
        batch = images.take(np.arange(start, min(start + BATCH, len(images))))
        said = mean_of(np.stack([probabilities(network, batch) for network in networks]))
        parts.append(dict(reduce(said, batch.labels)))
    return _joined(parts)


def _joined(parts: Sequence[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
