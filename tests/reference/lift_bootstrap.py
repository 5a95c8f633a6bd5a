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


def crossed_variances(cells: np.ndarray) -> tuple[float, float, float]:
    """Variance of the mean of ``[S, N]`` cells: by rows, by columns, by neither.

    Each from its mean square in the two-way table without replication (Searle, Casella &
    McCulloch 1992, section 4.3); the first two hold the third.
    """
    rows, columns = cells.shape
    grand = cells.mean()
    of_rows = of_columns = of_cells = 0.0
    for row in range(rows):
        of_rows += columns * (cells[row].mean() - grand) ** 2
        for column in range(columns):
            of_cells += (
                cells[row, column] - cells[row].mean() - cells[:, column].mean() + grand
            ) ** 2
    for column in range(columns):
        of_columns += rows * (cells[:, column].mean() - grand) ** 2
    size = rows * columns
    return (
        of_rows / (rows - 1) / size,
        of_columns / (columns - 1) / size,
        of_cells / (rows - 1) / (columns - 1) / size,
    )
