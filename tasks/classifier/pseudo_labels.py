"""Labels for unlabelled images, from an ensemble that read the labels of real/train and real/val.

Pseudo-labels (Lee 2013) with a confidence threshold as in FixMatch (Sohn et al. 2020,
arXiv:2001.07685), but set on real/val by what it promises, a precision, instead of by hand. The
probabilities are the mean of an ensemble's (Lakshminarayanan et al. 2017, arXiv:1612.01474).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.classifier.crossfit import Columns, cross_fit
from tasks.classifier.examples import Examples
from tasks.classifier.networks import SMALL_CNN
from tasks.classifier.training import Probabilities, Schedule
from tasks.contracts.image_set import ImageSet, Labels

Confidence = npt.NDArray[np.float32]
TARGET = 0.97
_LEAST = 10  # images of real/val above the threshold: two or three that are right prove nothing


@dataclass(frozen=True)
class Threshold:
    """The lowest confidence at which real/val is labelled precisely enough.

    Attributes:
        confidence: 0 to 1; None where no confidence reaches the target.
        precision: accuracy on the images of real/val at or above it; None likewise.
        share: of real/val at or above it.
    """

    confidence: float | None
    precision: float | None
    share: float


@dataclass(frozen=True)
class PseudoLabels:
    """What the ensemble says of M unlabelled images.

    Attributes:
        labels: int64 ``[M]``, -1 where it is unsure.
        confidence: float32 ``[M]``, the mean probability of the likeliest class.
        target: precision that was asked for on real/val.
        limit: from which confidence a label is given.
    """

    labels: Labels
    confidence: Confidence
    target: float
    limit: Threshold

    def told(self) -> str:
        """One sentence for a person."""
        if self.limit.confidence is None:
            return (
                f"no confidence gives a precision of {self.target:.0%} on real/val, "
                f"so none of {len(self.labels)} unlabelled images got a label"
            )
        return (
            f"{int((self.labels >= 0).sum())} of {len(self.labels)} unlabelled images got a label, "
            f"precision {self.limit.precision:.1%} on real/val"
        )


def pseudo_label(
    train: ImageSet,
    val: ImageSet,
    unlabelled: ImageSet,
    *,
    steps: int,
    members: int,
    seed: int,
    watch: Callable[[float, str], None],
    target: float = TARGET,
) -> PseudoLabels:
    """Label the unlabelled images that an ensemble is sure about.

    Each of the members is trained on all of real/train but one fold (stratified), so neither
    real/val nor an unlabelled image is in any training set. Of the manifests only the labels of
    real/train and real/val are read.

    Args:
        train: labelled images to learn from.
        val: labelled images to set the threshold on; see `precise_threshold`.
        unlabelled: M images, possibly none.
        steps: optimiser steps of each member.
        members: classifiers in the ensemble, at least 2; no more are made than groups to train on.
        seed: of folds, weights, batches and augmentation; the same seed gives the same result.
        watch: told the share of members that are done.
        target: precision to reach on real/val.

    Raises:
        ValueError: fewer than 2 members.
        UserError: a training diverged.
    """
    if members < 2:
        raise ValueError(f"members is {members}: each is trained without a fold, so 2 or more")
    schedule = Schedule(SMALL_CNN, steps, batch_size=64, learning_rate=0.002, weight_decay=0.01)
    fitted = cross_fit(
        train,
        schedule,
        folds=min(members, train.manifest["group"].nunique()),
        seed=seed,
        watch=lambda share, text: watch(share / 2, text),
    )
    said = fitted.together(
        Examples.of(val).joined(Examples.of(unlabelled)),
        _likeliest,
        lambda share, text: watch((1 + share) / 2, text),
    )
    confidence, choice = said["confidence"], said["choice"]
    held_out, own = slice(0, len(val)), slice(len(val), None)
    limit = precise_threshold(confidence[held_out], choice[held_out] == val.labels, target)
    sure = confidence[own] >= (np.inf if limit.confidence is None else limit.confidence)
    return PseudoLabels(np.where(sure, choice[own], -1), confidence[own], target, limit)


def _likeliest(probabilities: Probabilities, labels: Labels) -> Columns:
    choice = probabilities.argmax(axis=1).astype(np.int64)
    return {"confidence": probabilities.max(axis=1), "choice": choice}


def precise_threshold(
    confidence: Confidence, right: npt.NDArray[np.bool_], target: float
) -> Threshold:
    """Return the lowest confidence whose accepted images are right often enough.

    Images are taken from the surest down; at each confidence that occurs, precision is the share
    of right ones among all taken so far. Of the confidences at which it is at least `target`
    with 10 images or more, the lowest wins. Precision need not fall steadily on the way: a sure
    mistake at the top is outweighed by enough images that are right below it.

    Args:
        confidence: ``[N]`` of real/val.
        right: ``[N]``, whether the likeliest class is the label.
        target: 0 to 1.
    """
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence = confidence[order]
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    # images of equal confidence are accepted together: only the last of them is a place to stop
    last = np.append(sorted_confidence[1:] != sorted_confidence[:-1], True)[: len(order)]
    good = np.flatnonzero(last & (precision >= target) & (np.arange(len(order)) >= _LEAST - 1))
    if not len(good):
        return Threshold(None, None, 0.0)
    place = int(good[-1])
    return Threshold(
        float(sorted_confidence[place]), float(precision[place]), (place + 1) / len(order)
    )


def pseudo_labelled_set(
    unlabelled: ImageSet, result: PseudoLabels, class_names: Sequence[str]
) -> ImageSet:
    """Return the images that got a label, with it and a column ``pseudo_confidence``.

    Origin stays ``real``; what tells them from labelled images is that column.

    Args:
        unlabelled: the M images that `result` is about.
        result: what `pseudo_label` returned.
        class_names: of the K classes, in the order of their labels.
    """
    rows = np.flatnonzero(result.labels >= 0)
    chosen, labels = unlabelled.take(rows), result.labels[rows]
    names = np.array(class_names, dtype=object)[labels]
    manifest = chosen.manifest.assign(
        label=labels,
        class_name=pd.Series(names, dtype="str"),
        pseudo_confidence=result.confidence[rows],
    )
    return ImageSet(chosen.images, manifest)
