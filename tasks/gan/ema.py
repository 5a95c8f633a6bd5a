"""Exponential moving average of the generator's weights."""

from __future__ import annotations

import torch
from torch import nn

_RAMP = 0.05  # of the images seen so far: early averages forget fast


def ema_decay(images_seen: int, batch_size: int, halflife_kimg: float) -> float:
    """Return the decay of one step, its half-life ramped as in StyleGAN2-ADA.

    Half-life in images is ``min(halflife_kimg * 1000, 0.05 * images_seen)`` (Karras et al.
    2020, arXiv:2006.06676, and its training loop).
    """
    halflife = min(halflife_kimg * 1000.0, _RAMP * images_seen)
    return float(0.5 ** (batch_size / max(halflife, 1e-8)))


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move `average` towards `model`: ``average = decay * average + (1 - decay) * model``."""
    for target, source in zip(average.parameters(), model.parameters(), strict=True):
        target.lerp_(source, 1.0 - decay)
    for kept, current in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(current)
