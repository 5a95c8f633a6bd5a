"""Precision, recall, density and coverage, and diversity, one pair of images at a time."""

from __future__ import annotations

import math

import numpy as np


def prdc_of(real: np.ndarray, fake: np.ndarray, k: int) -> dict[str, float]:
    """Kynkaanniemi et al. 2019, eq. 1 and 2; Naeem et al. 2020, eq. 4 and 5."""
    real_radius = [_radius(real, row, k) for row in range(len(real))]
    fake_radius = [_radius(fake, row, k) for row in range(len(fake))]
    precise = recalled = held = covered = 0
    for y in fake:
        balls = sum(math.dist(x, y) < radius for x, radius in zip(real, real_radius, strict=True))
        precise += balls > 0
        held += balls
    for x, radius in zip(real, real_radius, strict=True):
        recalled += any(math.dist(x, y) < r for y, r in zip(fake, fake_radius, strict=True))
        covered += any(math.dist(x, y) < radius for y in fake)
    return {
        "precision": precise / len(fake),
        "recall": recalled / len(real),
        "density": held / (k * len(fake)),
        "coverage": covered / len(real),
    }


def diversity_of(features: np.ndarray, labels: np.ndarray, label: int) -> float:
    """Mean distance between two different rows of a label."""
    rows = [row for row, own in zip(features, labels, strict=True) if own == label]
    pairs = [math.dist(rows[i], rows[j]) for i in range(len(rows)) for j in range(i + 1, len(rows))]
    return sum(pairs) / len(pairs)


def _radius(points: np.ndarray, row: int, k: int) -> float:
    others = [math.dist(points[row], other) for number, other in enumerate(points) if number != row]
    return sorted(others)[k - 1]
