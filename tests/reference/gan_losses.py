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


def nonsaturating_discriminator(real: Logits, fake: Logits) -> Logits:
    """Goodfellow et al. 2014, eq. 1, negated: -log D(x) - log(1 - D(G(z)))."""
    return minus_log_sigmoid(real) + minus_log_sigmoid(-fake)
