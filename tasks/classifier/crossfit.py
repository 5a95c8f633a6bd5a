"""Confidence in a label from classifiers that never saw the real images they judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import joblib
import numpy as np
import torch

from tasks.classifier.training import (
    Probabilities,
    Schedule,
    fit,
    probabilities,
    stratified_folds,
)
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.stage import die_with_parent


@dataclass(frozen=True)
class CrossFit:
    """What K cross-fitted classifiers say.

    Attributes:
        real: probabilities ``[N, K]`` of each real image, from the one classifier that did
            not train on it.
        others: probabilities ``[M, K]`` of each other image, the mean of all classifiers.
        members: ``[F, M, K]``, what each of the F classifiers says of them.
    """

    real: Probabilities
    others: Probabilities
    members: Probabilities


def cross_fit(
    train: ImageSet,
    others: ImageSet,
    schedule: Schedule,
    *,
    folds: int,
    seed: int,
    watch: Callable[[float, str], None],
) -> CrossFit:
    """Fit one classifier a fold, on the other folds, in worker processes.

    Raises:
        UserError: more folds than training images.
    """
    if folds > len(train):
        raise UserError(
            f"quality_filter.folds: {folds}",
            f"more than the {len(train)} training images",
            "Use 2 to 10",
        )
    fold_of = stratified_folds(train.labels, folds, seed)
    classes = len(train.class_names)
    jobs = [
        joblib.delayed(_fit_fold)(train, others, fold_of == fold, schedule, classes, seed + fold)
        for fold in range(folds)
    ]
    real = np.zeros((len(train), classes), dtype=np.float32)
    members = np.zeros((folds, len(others), classes), dtype=np.float32)
    results = joblib.Parallel(n_jobs=joblib.cpu_count(), return_as="generator")(jobs)
    for fold, (held_out, elsewhere) in enumerate(results):
        real[fold_of == fold] = held_out
        members[fold] = elsewhere
        watch((fold + 1) / folds, f"classifier {fold + 1}/{folds}")
    mean = members.sum(axis=0, dtype=np.float64) / folds
    return CrossFit(real, mean.astype(np.float32), members)


def _fit_fold(
    train: ImageSet,
    others: ImageSet,
    held_out: np.ndarray,
    schedule: Schedule,
    classes: int,
    seed: int,
) -> tuple[Probabilities, Probabilities]:
    die_with_parent()
    torch.set_num_threads(1)
    network = fit(
        train.take(~held_out), schedule, classes=classes, augment=True, flip=False, seed=seed
    )
    return probabilities(network, train.take(held_out)), probabilities(network, others)
