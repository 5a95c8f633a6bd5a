"""Textbook forms of the adversarial losses, in float64 with the logarithm written out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float64]


def minus_log_sigmoid(x: Logits) -> Logits:
    return np.logaddexp(0.0, -x)


def relativistic_generator(real: Logits, fake: Logits) -> Logits:
    """Jolicoeur-Martineau 2018, eq. 5: -log sigmoid(C(fake) - C(real))."""
    return minus_log_sigmoid(fake - real)


def relativistic_discriminator(real: Logits, fake: Logits) -> Logits:
    """Jolicoeur-Martineau 2018, eq. 4: -log sigmoid(C(real) - C(fake))."""
    return minus_log_sigmoid(real - fake)


def nonsaturating_generator(real: Logits, fake: Logits) -> Logits:
    """Goodfellow et al. 2014, section 3: -log D(G(z))."""
    return minus_log_sigmoid(fake)


def nonsaturating_discriminator(real: Logits, fake: Logits, smoothing: float = 0.0) -> Logits:
    """Goodfellow et al. 2014, eq. 1, negated: -log D(x) - log(1 - D(G(z))).

    With Salimans et al.'s target t = 1 - smoothing: -t log D(x) - (1 - t) log(1 - D(x)).
    """
    on_real = (1 - smoothing) * minus_log_sigmoid(real) + smoothing * minus_log_sigmoid(-real)
    return on_real + minus_log_sigmoid(-fake)


def saturating_generator(real: Logits, fake: Logits) -> Logits:
    """Goodfellow et al. 2014, eq. 1: log(1 - D(G(z)))."""
    return -minus_log_sigmoid(-fake)


saturating_discriminator = nonsaturating_discriminator


def least_squares_generator(real: Logits, fake: Logits) -> Logits:
    """Mao et al. 2017, eq. 9 (a = 0, b = c = 1)."""
    return (fake - 1) ** 2 / 2


def least_squares_discriminator(real: Logits, fake: Logits) -> Logits:
    return (real - 1) ** 2 / 2 + fake**2 / 2


def wasserstein_generator(real: Logits, fake: Logits) -> Logits:
    """Arjovsky et al. 2017, algorithm 1, lines 10 and 5, as minimised."""
    return -fake


def wasserstein_discriminator(real: Logits, fake: Logits) -> Logits:
    return -(real - fake)


def hinge_generator(real: Logits, fake: Logits) -> Logits:
    """Miyato et al. 2018 (arXiv:1802.05957), eq. 17."""
    return -fake


def hinge_discriminator(real: Logits, fake: Logits) -> Logits:
    """Miyato et al. 2018, eq. 16, negated: -min(0, -1 + D(x)) - min(0, -1 - D(G(z)))."""
    return -np.minimum(0, -1 + real) - np.minimum(0, -1 - fake)
