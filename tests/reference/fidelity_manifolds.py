"""Precision, recall, density and coverage, and diversity, one pair of images at a time."""

from __future__ import annotations

import math
from itertools import combinations

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


def diversity_of(features: np.ndarray) -> float:
    """Mean distance between two different rows."""
    return float(np.mean([math.dist(a, b) for a, b in combinations(features, 2)]))


def spacing_of_draws(features: np.ndarray, count: int) -> float:
    """Mean distance to the nearest other, over all choices of so many rows."""
    drawn = [
        min(math.dist(features[row], features[other]) for other in rows if other != row)
        for rows in combinations(range(len(features)), count)
        for row in rows
    ]
    return float(np.mean(drawn))


def coverage_of_draws(real: np.ndarray, fake: np.ndarray, count: int, k: int) -> float:
    """Share of real balls that hold one of so many fakes, over all choices of them."""
    radius = [_radius(real, row, k) for row in range(len(real))]
    return float(
        np.mean(
            [
                any(math.dist(x, fake[row]) < r for row in rows)
                for rows in combinations(range(len(fake)), count)
                for x, r in zip(real, radius, strict=True)
            ]
        )
    )


def _radius(points: np.ndarray, row: int, k: int) -> float:
    others = [math.dist(points[row], other) for number, other in enumerate(points) if number != row]
    return sorted(others)[k - 1]
