"""Compare training sets by the classifiers that they make, judged on real/val."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sklearn.metrics import balanced_accuracy_score

from tasks.classifier.examples import Examples
from tasks.classifier.training import Schedule, fit, probabilities
from tasks.contracts.image_set import ImageSet
from tasks.contracts.workers import spread


@dataclass(frozen=True)
class Trial:
    """A training set, and the seed that its classifier starts from."""

    train: Examples
    seed: int


def val_balanced_accuracy(
    trials: Iterable[Trial],
    val: ImageSet,
    schedule: Schedule,
    *,
    classes: int,
    watch: Callable[[int], None],
) -> list[float]:
    """Return the balanced accuracy on real/val, 0..1, of a classifier for each trial.

    Each is trained with classical augmentation, in worker processes.

    Args:
        trials: what to train on; taken one by one, so that they need not all be held.
        val: labelled images that no trial trains on.
        schedule: the same for all.
        classes: K.
        watch: told how many trials are done.
    """
    judged = Examples.of(val)
    jobs = ((one.train, one.seed, judged, schedule, classes) for one in trials)
    scores = []
    for score in spread(_judged, jobs):
        scores.append(score)
        watch(len(scores))
    return scores


def _judged(train: Examples, seed: int, val: Examples, schedule: Schedule, classes: int) -> float:
    network = fit(train, schedule, classes=classes, augment=True, flip=False, seed=seed)
    said = probabilities(network, val).argmax(axis=1)
    return float(balanced_accuracy_score(val.labels, said))
