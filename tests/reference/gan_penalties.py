"""Penalties one image at a time, with slopes by central differences (no autograd)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Judge = Callable[[Tensor, Tensor], Tensor]  # one image and its label, each with a batch axis
_STEP = 1e-5


def squared_slope(judge: Judge, image: Tensor, label: Tensor) -> float:
    """Squared norm of the gradient of one logit by its image ``[C, H, W]``."""
    total = 0.0
    for place in range(image.numel()):
        nudge = torch.zeros_like(image).flatten()
        nudge[place] = _STEP
        nudge = nudge.view_as(image)
        with torch.no_grad():
            up = judge((image + nudge)[None], label[None])
            down = judge((image - nudge)[None], label[None])
        total += float((up - down) / (2 * _STEP)) ** 2
    return total


def slope_along(
    judge: Judge, image: Tensor, label: Tensor, direction: Tensor, step: float
) -> float:
    """Forward difference of one logit along a direction ``[C, H, W]``."""
    with torch.no_grad():
        moved = judge((image + step * direction)[None], label[None])
        return float(moved - judge(image[None], label[None])) / step


def wasserstein_penalty(
    judge: Judge, real: Tensor, fake: Tensor, labels: Tensor, places: list[float]
) -> list[float]:
    """Gulrajani et al. 2017, algorithm 1, lines 5 to 7: x = eps * real + (1 - eps) * fake."""
    return [
        (squared_slope(judge, eps * r + (1 - eps) * f, label) ** 0.5 - 1) ** 2
        for r, f, label, eps in zip(real, fake, labels, places, strict=True)
    ]


def lecam(steps: list[tuple[list[float], list[float]]], decay: float = 0.99) -> list[list[float]]:
    """Tseng et al. 2021, eq. 3 and 4, over steps of (real logits, fake logits)."""
    anchor_real = sum(steps[0][0]) / len(steps[0][0])
    anchor_fake = sum(steps[0][1]) / len(steps[0][1])
    found = []
    for real, fake in steps:
        anchor_real = decay * anchor_real + (1 - decay) * sum(real) / len(real)
        anchor_fake = decay * anchor_fake + (1 - decay) * sum(fake) / len(fake)
        found.append(
            [
                (r - anchor_fake) ** 2 + (f - anchor_real) ** 2
                for r, f in zip(real, fake, strict=True)
            ]
        )
    return found


def feature_matching(fake: Tensor, real: Tensor, labels: list[int]) -> list[float]:
    """Salimans et al. 2016, section 3.1, within the class of each sample."""
    found = []
    for label in labels:
        rows = [i for i, other in enumerate(labels) if other == label]
        of_fakes = sum(fake[i] for i in rows) / len(rows)
        of_reals = sum(real[i] for i in rows) / len(rows)
        found.append(sum(float(d) ** 2 for d in of_fakes - of_reals))
    return found
