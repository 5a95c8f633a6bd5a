"""How well a classifier does on a labelled set."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score
from torchmetrics.functional.classification import multiclass_calibration_error

from tasks.classifier.training import Probabilities
from tasks.contracts.image_set import Labels


def scores_of(labels: Labels, predicted: Probabilities) -> dict[str, float]:
    """Return accuracy, balanced_accuracy, macro_f1, log_loss, ece and recall_<label>.

    All are 0 to 1 but the loss, which is in nats. ``ece`` is the expected calibration error over
    15 bins of equal width (Guo et al. 2017, arXiv:1706.04599, equation 3).

    `labels` ``[N]``, `predicted` ``[N, K]``; every one of the K classes is expected in labels.
    """
    classes = np.arange(predicted.shape[1])
    choice = predicted.argmax(axis=1)
    with warnings.catch_warnings():
        # softmax in float32 sums to 1 only within rounding, which log_loss remarks on
        warnings.simplefilter("ignore", UserWarning)
        loss = log_loss(labels, predicted.astype(np.float64), labels=classes)
    ece = multiclass_calibration_error(
        torch.from_numpy(predicted), torch.from_numpy(labels), predicted.shape[1], n_bins=15
    )
    recalls = recall_score(labels, choice, labels=classes, average=None, zero_division=0.0)
    return {
        "accuracy": float(accuracy_score(labels, choice)),
        "balanced_accuracy": float(np.mean(recalls)),
        "macro_f1": float(f1_score(labels, choice, labels=classes, average="macro")),
        "log_loss": float(loss),
        "ece": float(ece),
    } | {f"recall_{label}": float(recalls[label]) for label in classes}
