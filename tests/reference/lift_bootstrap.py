"""The pigeonhole bootstrap as a textbook has it: loops, and scikit-learn's weighted metrics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

METRICS: dict[str, Callable[..., float]] = {
    "balanced_accuracy": balanced_accuracy_score,
    "accuracy": accuracy_score,
    "macro_f1": lambda *args, **kwargs: f1_score(*args, average="macro", **kwargs),
}


def replicates(labels, treatment, baseline, image_weights, run_weights, metric) -> list[float]:
    """The weighted mean difference of each resample, one cell (run, image) after another."""
    score = METRICS[metric]
    found = []
    for of_images, of_runs in zip(image_weights, run_weights, strict=True):
        total = 0.0
        for weight, treated, base in zip(of_runs, treatment, baseline, strict=True):
            difference = score(labels, treated, sample_weight=of_images) - score(
                labels, base, sample_weight=of_images
            )
            total += weight * difference
        found.append(total)
    return found


def draw_and_count(units: int, rng: np.random.Generator) -> np.ndarray:
    """Draw units-1 of the units, one at a time; return how often each came, scaled to mean 1."""
    counts = np.zeros(units)
    for _ in range(max(units - 1, 1)):
        counts[rng.integers(units)] += 1
    return counts * units / counts.sum()
