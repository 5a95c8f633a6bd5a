"""How well a classifier does on a labelled set."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

from tasks.classifier.training import Probabilities
from tasks.contracts.image_set import Labels


def scores_of(labels: Labels, predicted: Probabilities) -> dict[str, float]:
    """Return accuracy, balanced_accuracy, macro_f1, log_loss and recall_<label>.

    All are 0 to 1 but the loss, which is in nats.

    `labels` ``[N]``, `predicted` ``[N, K]``; every one of the K classes is expected in labels.
    """
    classes = np.arange(predicted.shape[1])
    choice = predicted.argmax(axis=1)
    with warnings.catch_warnings():
        # softmax in float32 sums to 1 only within rounding, which log_loss remarks on
        warnings.simplefilter("ignore", UserWarning)
        loss = log_loss(labels, predicted.astype(np.float64), labels=classes)
    recalls = recall_score(labels, choice, labels=classes, average=None, zero_division=0.0)
    return {
        "accuracy": float(accuracy_score(labels, choice)),
        "balanced_accuracy": float(np.mean(recalls)),
        "macro_f1": float(f1_score(labels, choice, labels=classes, average="macro")),
        "log_loss": float(loss),
    } | {f"recall_{label}": float(recalls[label]) for label in classes}
