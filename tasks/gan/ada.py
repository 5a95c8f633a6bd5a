"""Adaptive augmentation: as often as the discriminator overfits, and no more."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


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
