"""Authenticity, realism and the greedy k-centre, one pair of images at a time."""

from __future__ import annotations

import math

import numpy as np


def authentic_of(fake: np.ndarray, real: np.ndarray) -> bool:
    """Alaa et al. 2022, section 3.2: farther from its nearest than that is from its own."""
    away = [math.dist(fake, x) for x in real]
    nearest = away.index(min(away))
    return away[nearest] > _to_others(real, nearest)[0]


def realism_of(fake: np.ndarray, real: np.ndarray, k: int) -> float:
    """Kynkaanniemi et al. 2019, eq. 3, without the half of the reals with the larger radii."""
    radii = [_to_others(real, row)[k - 1] for row in range(len(real))]
    median = sorted(radii)[len(radii) // 2]
    if len(radii) % 2 == 0:
        median = (sorted(radii)[len(radii) // 2 - 1] + median) / 2
    return max(
        radius / math.dist(fake, x)
        for radius, x in zip(radii, real, strict=True)
        if radius <= median
    )


def k_centre(points: np.ndarray, count: int) -> list[int]:
    """Gonzalez 1985: always the point farthest from those chosen; first the most central."""
    mean = points.mean(axis=0)
    chosen = [min(range(len(points)), key=lambda row: math.dist(points[row], mean))]
    while len(chosen) < count:
        left = [row for row in range(len(points)) if row not in chosen]
        chosen.append(
            max(left, key=lambda row: min(math.dist(points[row], points[c]) for c in chosen))
        )
    return chosen


def _to_others(points: np.ndarray, row: int) -> list[float]:
    return sorted(math.dist(points[row], x) for other, x in enumerate(points) if other != row)
