"""Compare training sets by the classifiers that they make, judged on real/val."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import joblib
import torch
from sklearn.metrics import balanced_accuracy_score

from tasks.classifier.training import Schedule, fit, probabilities
from tasks.contracts.image_set import ImageSet
from tasks.contracts.stage import die_with_parent


@dataclass(frozen=True)
class Trial:
    """A training set, and the seed that its classifier starts from."""

    train: ImageSet
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

    Each is trained with classical augmentation, one thread a fit and one process a core.

    Args:
        trials: what to train on; taken one by one, so that they need not all be held.
        val: labelled images that no trial trains on.
        schedule: the same for all.
        classes: K.
        watch: told how many trials are done.
    """
    jobs = (joblib.delayed(_judged)(trial, val, schedule, classes) for trial in trials)
    results = joblib.Parallel(n_jobs=joblib.cpu_count(), return_as="generator")(jobs)
    scores = []
    for score in results:
        scores.append(score)
        watch(len(scores))
    return scores


def _judged(trial: Trial, val: ImageSet, schedule: Schedule, classes: int) -> float:
    die_with_parent()
    torch.set_num_threads(1)
    network = fit(trial.train, schedule, classes=classes, augment=True, flip=False, seed=trial.seed)
    said = probabilities(network, val).argmax(axis=1)
    return float(balanced_accuracy_score(val.labels, said))
