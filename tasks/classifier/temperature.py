"""One number that makes a classifier's confidence true: the temperature of its softmax."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from tasks.classifier.training import Probabilities
from tasks.contracts.image_set import Labels

_MOST = np.log(20.0)  # temperatures of 1/20 to 20: past them a probability is 0 or a guess anyway


def fit_temperature(probabilities: Probabilities, labels: Labels) -> float:
    """Return the temperature at which the labels are likeliest (Guo et al. 2017, arXiv:1706.04599).

    Args:
        probabilities: ``[N, K]`` or ``[F, N, K]``, of F classifiers that share a temperature, on
            images none of them was trained on.
        labels: ``[N]``.

    Returns:
        1/20 to 20; above 1 where the classifier was too sure.
    """
    logits = _log(probabilities)
    rows = np.arange(len(labels))

    def loss(exponent: float) -> float:
        likelihood = log_softmax(logits / np.exp(exponent), axis=-1)
        return float(-likelihood[..., rows, labels].mean())

    found = minimize_scalar(loss, bounds=(-_MOST, _MOST), method="bounded")
    return float(np.exp(found.x))


def tempered(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return ``softmax(log(p) / temperature)``, float32, over the last axis."""
    result: Probabilities = softmax(_log(probabilities) / temperature, axis=-1).astype(np.float32)
    return result


def _log(probabilities: Probabilities) -> np.ndarray:
    return np.log(np.maximum(probabilities.astype(np.float64), 1e-12))
