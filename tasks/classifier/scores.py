"""What a classifier says of a labelled set, and how well it does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tasks.classifier.training import Probabilities
from tasks.contracts.image_set import Labels

_BINS = 15


@dataclass(frozen=True)
class Predictions:
    """What is kept of probabilities ``[N, K]``: as much for a thousand classes as for two.

    Attributes:
        predicted: int32 ``[N]``, the likeliest class.
        p_label: float32 ``[N]``, the probability of the image's own label.
        confidence: float32 ``[N]``, that of the likeliest class.
    """

    predicted: npt.NDArray[np.int32]
    p_label: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]

    @classmethod
    def of(cls, probabilities: Probabilities, labels: Labels) -> Predictions:
        """Keep this much of ``[N, K]``, for labels ``[N]``."""
        return cls(
            probabilities.argmax(axis=1).astype(np.int32),
            probabilities[np.arange(len(labels)), labels],
            probabilities.max(axis=1),
        )


def scores_of(labels: Labels, said: Predictions, classes: int) -> dict[str, float]:
    """Return accuracy, balanced_accuracy, macro_f1, log_loss, ece and recall_<label>.

    All are 0 to 1 but the loss, which is in nats. ``ece`` is the expected calibration error over
    15 bins of equal width (Guo et al. 2017, arXiv:1706.04599, equation 3).

    Args:
        labels: ``[N]``; every one of the K classes is expected in them.
        said: of the same images.
        classes: K.
    """
    # not at the top: workers predict and need no metrics, whose import takes seconds
    from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

    every, right = np.arange(classes), said.predicted == labels
    recalls = recall_score(labels, said.predicted, labels=every, average=None, zero_division=0.0)
    own = said.p_label.astype(np.float64)
    return {
        "accuracy": float(accuracy_score(labels, said.predicted)),
        "balanced_accuracy": float(np.mean(recalls)),
        "macro_f1": float(f1_score(labels, said.predicted, labels=every, average="macro")),
        "log_loss": float(log_loss(np.ones(len(own)), own, labels=[0, 1])),
        "ece": _calibration_error(said.confidence, right),
    } | {f"recall_{label}": float(recalls[label]) for label in range(classes)}


def _calibration_error(confidence: npt.NDArray[np.float32], right: npt.NDArray[np.bool_]) -> float:
    """Return the mean distance of accuracy to confidence over the bins, by images.

    As torchmetrics' ``binary_calibration_error``, to the bit, whose import takes 170 MB and six
    seconds, for image metrics above all.
    """
    sure = torch.from_numpy(confidence)
    bins = torch.bucketize(sure, torch.linspace(0, 1, _BINS + 1), right=True) - 1
    counts, said, was = (
        torch.zeros(_BINS + 1).scatter_add_(0, bins, of)  # the last bin has 1 alone
        for of in (torch.ones_like(sure), sure, torch.from_numpy(right).float())
    )
    gaps = torch.nan_to_num(was / counts) - torch.nan_to_num(said / counts)
    return float(torch.sum(gaps.abs() * (counts / counts.sum())))
