"""Adversarial losses: per-sample, shape ``[N]``, arguments ``(real_logits, fake_logits)``.

A loss is a pair of callables and one entry in `LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class AdversarialLoss:
    """What each side minimises."""

    generator: LossFunction
    discriminator: LossFunction


def relativistic_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """softplus(D(real) - D(fake)): fakes should beat the reals they are paired with.

    Jolicoeur-Martineau 2018 (arXiv:1807.00734); the pairing form of Huang et al. 2024
    (R3GAN, arXiv:2501.05441, eq. 2).
    """
    return F.softplus(real_logits - fake_logits)


def relativistic_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """softplus(D(fake) - D(real)), the other side of the same game."""
    return F.softplus(fake_logits - real_logits)


def nonsaturating_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(fake)) (Goodfellow et al. 2014, arXiv:1406.2661, section 3)."""
    del real_logits
    return F.softplus(-fake_logits)


def nonsaturating_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Cross-entropy of real against fake (Goodfellow et al. 2014, eq. 1)."""
    return F.softplus(-real_logits) + F.softplus(fake_logits)


LOSSES = {
    "relativistic": AdversarialLoss(relativistic_generator, relativistic_discriminator),
    "nonsaturating": AdversarialLoss(nonsaturating_generator, nonsaturating_discriminator),
}
