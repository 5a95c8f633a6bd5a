"""Differentiable augmentation, per sample and vectorised (Zhao et al. 2020, arXiv:2006.10738).

Applied to real and fake alike before the discriminator, so that it cannot memorise few
images. Each policy maps images ``[N, C, H, W]`` in -1..1 to the same shape. A policy is one
function and one entry in `POLICIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F


def translation(images: Tensor, generator: Generator) -> Tensor:
    """Shift by up to 1/8 of each side, filling with the darkest value."""
    n, _, height, width = images.shape
    pad = max(1, height // 8)
    padded = F.pad(images, (pad, pad, pad, pad), value=-1.0)
    offsets = torch.randint(0, 2 * pad + 1, (2, n, 1), generator=generator).to(images.device)
    rows = torch.arange(height, device=images.device) + offsets[0]
    columns = torch.arange(width, device=images.device) + offsets[1]
    batch = torch.arange(n, device=images.device)[:, None, None]
    shifted = padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]
    return shifted.permute(0, 3, 1, 2)


def cutout(images: Tensor, generator: Generator) -> Tensor:
    """Blank a square of half the side at a random place."""
    n, _, height, width = images.shape
    centre = torch.rand((2, n, 1), generator=generator).to(images.device)
    rows = (torch.arange(height, device=images.device) - centre[0] * height).abs() < height / 4
    columns = (torch.arange(width, device=images.device) - centre[1] * width).abs() < width / 4
    hole = (rows[:, :, None] & columns[:, None, :])[:, None]
    return images.masked_fill(hole, 0.0)


def color(images: Tensor, generator: Generator) -> Tensor:
    """Brightness by +-0.5, saturation by 0 to 2, contrast by 0.5 to 1.5."""
    n = len(images)
    draws = torch.rand((3, n, 1, 1, 1), generator=generator).to(images.device)
    images = images + (draws[0] - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (2 * draws[1]) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (0.5 + draws[2]) + mean


POLICIES: dict[str, Callable[[Tensor, Generator], Tensor]] = {
    "translation": translation,
    "cutout": cutout,
    "color": color,
}


def diffaug(images: Tensor, policies: Sequence[str], generator: Generator) -> Tensor:
    """Apply the named policies in order, with random numbers drawn on the CPU."""
    for name in policies:
        images = POLICIES[name](images, generator)
    return images
