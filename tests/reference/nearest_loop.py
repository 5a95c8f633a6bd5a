"""The nearest of all training images, one pair at a time."""

from __future__ import annotations

import math

import numpy as np


def shrunk(image: np.ndarray, cells: int = 16) -> np.ndarray:
    """Averaged down to at most 16x16 blocks: float64 ``[cells, cells, C]``."""
    side = min(cells, image.shape[0])
    step = image.shape[0] // side
    out = np.empty((side, side, image.shape[2]))
    for y in range(side):
        for x in range(side):
            block = image[y * step : (y + 1) * step, x * step : (x + 1) * step]
            out[y, x] = block.astype(np.float64).mean(axis=(0, 1))
    return out


def nearest_of(image: np.ndarray, train: np.ndarray) -> tuple[float, int]:
    """Root mean square difference to the nearest training image, and its row."""
    best, row = math.inf, -1
    for number, other in enumerate(train):
        difference = shrunk(image) - shrunk(other)
        distance = math.sqrt(float((difference**2).mean()))
        if distance < best:
            best, row = distance, number
    return best, row
