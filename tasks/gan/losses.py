"""Adversarial losses: per-sample, shape ``[N]``, arguments ``(real_logits, fake_logits)``.

A loss is a pair of callables and one entry in `LOSSES`. The autoencoder's ``elbo`` has no
adversary, and so no entry here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.contracts.errors import UserError

LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class AdversarialLoss:
    """What each side minimises.

    Attributes:
        generator: its loss.
        discriminator: its loss.
        paired: whether the generator's loss reads the logits of real images too.
    """

    generator: LossFunction
    discriminator: LossFunction
    paired: bool = False


def relativistic_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """softplus(D(real) - D(fake)): fakes should beat the reals they are paired with.

    Jolicoeur-Martineau 2018 (arXiv:1807.00734); the pairing form of Huang et al. 2024
    (R3GAN, arXiv:2501.05441, eq. 2).
    """
    return F.softplus(real_logits - fake_logits)


def relativistic_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """softplus(D(fake) - D(real)), the other side of the same game."""
    return F.softplus(fake_logits - real_logits)


def saturating_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """log(1 - sigmoid D(fake)) (Goodfellow et al. 2014, arXiv:1406.2661, eq. 1).

    Its gradient vanishes where the discriminator is sure of a fake, hence the name.
    """
    del real_logits
    return -F.softplus(fake_logits)


def nonsaturating_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid D(fake) (Goodfellow et al. 2014, section 3)."""
    del real_logits
    return F.softplus(-fake_logits)


def cross_entropy_discriminator(
    real_logits: Tensor, fake_logits: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of real against fake (Goodfellow et al. 2014, eq. 1).

    Reals have the target ``1 - label_smoothing`` and fakes stay at 0: smoothing is one-sided
    (Salimans et al. 2016, arXiv:1606.03498, section 3.4).
    """
    return F.softplus(-real_logits) + label_smoothing * real_logits + F.softplus(fake_logits)


def least_squares_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """(D(fake) - 1)^2 / 2 (Mao et al. 2017, LSGAN, arXiv:1611.04076, eq. 9)."""
    del real_logits
    return 0.5 * (fake_logits - 1.0).square()


def least_squares_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """(D(real) - 1)^2 / 2 + D(fake)^2 / 2: labels 1 and 0 (Mao et al. 2017, eq. 9)."""
    return 0.5 * (real_logits - 1.0).square() + 0.5 * fake_logits.square()


def critic_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-D(fake): of the Wasserstein critic (Arjovsky et al. 2017, arXiv:1701.07875, eq. 4).

    The hinge's generator is the same (Lim and Ye 2017, arXiv:1705.02894, eq. 4).
    """
    del real_logits
    return -fake_logits


def wasserstein_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """D(fake) - D(real) (Arjovsky et al. 2017, eq. 3).

    It falls without bound unless the critic is held to a slope, by `clip_weights` after each of
    its steps or by the gradient penalty.
    """
    return fake_logits - real_logits


def hinge_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """relu(1 - D(real)) + relu(1 + D(fake)) (Lim and Ye 2017, eq. 4)."""
    return F.relu(1.0 - real_logits) + F.relu(1.0 + fake_logits)


_CROSS_ENTROPY = {
    "saturating": AdversarialLoss(saturating_generator, cross_entropy_discriminator),
    "nonsaturating": AdversarialLoss(nonsaturating_generator, cross_entropy_discriminator),
}

LOSSES = {
    **_CROSS_ENTROPY,
    "least_squares": AdversarialLoss(least_squares_generator, least_squares_discriminator),
    "wasserstein": AdversarialLoss(critic_generator, wasserstein_discriminator),
    "hinge": AdversarialLoss(critic_generator, hinge_discriminator),
    "relativistic": AdversarialLoss(
        relativistic_generator, relativistic_discriminator, paired=True
    ),
}


def adversarial_loss(name: str, label_smoothing: float = 0.0) -> AdversarialLoss:
    """Return the pair called `name`, its reals' target lowered by `label_smoothing` (0 to 0.5).

    Raises:
        UserError: no pair of that name, or smoothing for a loss that has no target.
    """
    if name not in LOSSES:
        raise UserError(
            f"train_gan.loss {name}", "no such adversarial loss", f"Use one of {', '.join(LOSSES)}"
        )
    if not label_smoothing:
        return LOSSES[name]
    if name not in _CROSS_ENTROPY:
        raise UserError(
            f"train_gan.label_smoothing {label_smoothing:g}",
            f"loss {name} has no labels to smooth",
            f"Set it to 0, or use one of {', '.join(_CROSS_ENTROPY)}",
        )
    smoothed = partial(cross_entropy_discriminator, label_smoothing=label_smoothing)
    return replace(LOSSES[name], discriminator=smoothed)


@torch.no_grad()
def clip_weights(module: nn.Module, bound: float) -> None:
    """Clamp every parameter to ``-bound..bound``, in place (Arjovsky et al. 2017, algorithm 1)."""
    for parameter in module.parameters():
        parameter.clamp_(-bound, bound)
