"""DiffAugment one image at a time, given the draws (Zhao et al. 2020, arXiv:2006.10738)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float64]  # [N, C, H, W]


def translation(images: Pixels, down: list[int], right: list[int]) -> Pixels:
    """Move image i down and right by so many pixels (negative: up and left)."""
    out = np.full_like(images, -1.0)
    n, _, height, width = images.shape
    for i in range(n):
        for y in range(height):
            for x in range(width):
                from_y, from_x = y - down[i], x - right[i]
                if 0 <= from_y < height and 0 <= from_x < width:
                    out[i, :, y, x] = images[i, :, from_y, from_x]
    return out


def cutout(images: Pixels, centre_y: list[float], centre_x: list[float]) -> Pixels:
    """Blank what is within a quarter side of the centre, given as shares of the side."""
    out = images.copy()
    n, _, height, width = images.shape
    for i in range(n):
        for y in range(height):
            for x in range(width):
                inside_y = abs(y - centre_y[i] * height) < height / 4
                inside_x = abs(x - centre_x[i] * width) < width / 4
                if inside_y and inside_x:
                    out[i, :, y, x] = 0.0
    return out


def color(images: Pixels, brightness: Pixels, saturation: Pixels, contrast: Pixels) -> Pixels:
    """Draws in 0..1: added -0.5..0.5, then saturation 0..2, then contrast 0.5..1.5."""
    out = []
    for i, image in enumerate(images):
        lighter = image + brightness[i] - 0.5
        grey = lighter.mean(axis=0)
        stronger = grey + (lighter - grey) * 2 * saturation[i]
        out.append(stronger.mean() + (stronger - stronger.mean()) * (contrast[i] + 0.5))
    return np.stack(out)
