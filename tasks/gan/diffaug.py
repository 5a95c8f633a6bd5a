"""Differentiable augmentation (Zhao et al. 2020, arXiv:2006.10738), always or adaptively.

Applied to real and fake alike before the discriminator, so that it cannot memorise few
images. Each policy maps images ``[N, C, H, W]`` in -1..1 to the same shape, on the images'
device. A policy is one function and one entry in `POLICIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from tasks.gan.draws import Draws


def translation(images: Tensor, draws: Draws) -> Tensor:
    """Shift by up to 1/8 of each side, filling with the darkest value."""
    n, _, height, width = images.shape
    pad = max(1, height // 8)
    padded = F.pad(images, (pad, pad, pad, pad), value=-1.0)
    offsets = (draws.uniform(n, 2) * (2 * pad + 1)).long()
    rows = torch.arange(height, device=images.device) + offsets[:, :1]
    columns = torch.arange(width, device=images.device) + offsets[:, 1:]
    batch = torch.arange(n, device=images.device)[:, None, None]
    shifted = padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]
    return shifted.permute(0, 3, 1, 2)


def cutout(images: Tensor, draws: Draws) -> Tensor:
    """Blank a square of half the side at a random place."""
    n, _, height, width = images.shape
    centre = draws.uniform(n, 2)
    rows = torch.arange(height, device=images.device) - centre[:, :1] * height
    columns = torch.arange(width, device=images.device) - centre[:, 1:] * width
    hole = (rows.abs() < height / 4)[:, :, None] & (columns.abs() < width / 4)[:, None, :]
    return images.masked_fill(hole[:, None], 0.0)


def color(images: Tensor, draws: Draws) -> Tensor:
    """Brightness by +-0.5, saturation by 0 to 2, contrast by 0.5 to 1.5."""
    brightness, saturation, contrast = draws.uniform(len(images), 3, 1, 1, 1).unbind(1)
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (2 * saturation) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (0.5 + contrast) + mean


POLICIES: dict[str, Callable[[Tensor, Draws], Tensor]] = {
    "translation": translation,
    "cutout": cutout,
    "color": color,
}


def diffaug(
    images: Tensor, policies: Sequence[str], draws: Draws, probability: float | Tensor = 1.0
) -> Tensor:
    """Apply the named policies in order, each to each image with `probability` (0 to 1).

    Real and fake are two calls: `draws` shares out one batch at a time. At every probability the
    same numbers are drawn, so that what follows does not depend on it.
    """
    for name in policies:
        augmented = POLICIES[name](images, draws)
        chosen = draws.uniform(len(images), 1, 1, 1) < probability
        images = torch.where(chosen, augmented, images)
    return images


@dataclass
class AdaController:
    """Moves the probability of augmentation so that an overfitting score stays at its target.

    Karras et al. 2020 (arXiv:2006.06676, section 3), whose score is the mean sign of D(real).
    A relativistic discriminator is blind to a shift of all its logits, so that sign says nothing
    of it; here the score is the mean sign of D(real) - D(fake) over the batch's pairs: 1 where
    every real beats its fake, 0 where they are told apart by chance alone.

    Attributes:
        target: the score to hold, 0 to 1 (the paper's 0.6).
        kimg_to_full: thousands of real images in which the probability can go from 0 to 1.
        probability: of each policy for each image, a scalar tensor in 0..1, on the logits' device.
    """

    target: float
    kimg_to_full: float = 500.0
    probability: Tensor = field(default_factory=lambda: torch.zeros(()))

    @torch.no_grad()
    def update(self, real_logits: Tensor, fake_logits: Tensor) -> None:
        """Take one step up or down by the logits ``[N]`` of the whole batch's real-fake pairs."""
        score = (real_logits.float() - fake_logits.float()).sign().mean()
        step = len(real_logits) / (self.kimg_to_full * 1000)
        moved = self.probability.to(score.device) + step * (score - self.target).sign()
        self.probability = moved.clamp(0.0, 1.0)

    def state(self) -> dict[str, Tensor]:
        """Return what `restore` needs."""
        return {"probability": self.probability}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        self.probability = state["probability"]
