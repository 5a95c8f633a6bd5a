"""What training with differential privacy spends, and how much noise keeps it within a budget.

Every discriminator step is a Gaussian mechanism on units drawn independently with one
probability (Abadi et al. 2016, arXiv:1607.00133); its Rényi divergences add up over steps and
GANs (Mironov et al. 2019, arXiv:1908.10530), and Opacus' accountant turns them into ε. The
generator and its images learn of real images through the discriminator alone, so what holds for
that one holds for them (post-processing).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from opacus.accountants.analysis import rdp
from scipy.optimize import brentq

from tasks.contracts.errors import UserError
from tasks.contracts.params.train_gan import Privacy
from tasks.contracts.privacy import Guarantee, Unit

_COUNT_NOISE = 50.0  # over ε, in units: by itself it spends about a tenth of the budget
_ORDERS = (*(1 + tenth / 10 for tenth in range(1, 100)), *range(11, 64), 96, 128, 256, 512)
_NOISE = (0.05, 10_000.0)  # noise multipliers within which one is sought
_NEARLY = 1e-3  # relative, of the noise multiplier


def guarantee_of(
    privacy: Privacy, units: int, batch_size: int, steps: int, unit: Unit = "image"
) -> Guarantee:
    """Return what a GAN promises that takes the whole budget.

    Args:
        privacy: the settings; ``epsilon`` is the budget.
        units: how many real/train holds, at least ``batch_size``.
        batch_size: units that a step sees on average.
        steps: of the discriminator.
        unit: what they are.

    Raises:
        UserError: a budget that no noise keeps.
    """
    assert privacy.epsilon is not None
    own = Guarantee(
        epsilon=privacy.epsilon,
        epsilon_together=privacy.epsilon,
        delta=privacy.delta,
        gans=1,
        unit=unit,
        units=units,
        noise_multiplier=0.0,
        max_grad_norm=privacy.max_grad_norm,
        sample_rate=batch_size / units,
        steps=steps,
        class_counts=privacy.class_counts,
        count_noise=_COUNT_NOISE / privacy.epsilon if privacy.class_counts == "noised" else 0.0,
    )

    def excess(noise: float) -> float:
        return spent(replace(own, noise_multiplier=noise), steps) - own.epsilon

    least, most = _NOISE
    if excess(most) > 0:
        raise UserError(
            f"train_gan.privacy.epsilon: {privacy.epsilon:g}",
            f"no noise keeps {steps} steps within so small a budget",
            "Raise it, or lower train_gan.total_kimg",
        )
    noise = least
    if excess(least) > 0:
        noise = brentq(excess, least, most, rtol=_NEARLY) * (1 + _NEARLY)  # rather too much
    own = replace(own, noise_multiplier=float(noise))
    epsilon = spent(own, steps)
    return replace(own, epsilon=epsilon, epsilon_together=epsilon)


def spent(guarantee: Guarantee, steps: int) -> float:
    """Return ε of one GAN after so many steps, at the guarantee's δ."""
    return composed([replace(guarantee, steps=steps)])


def composed(guarantees: Sequence[Guarantee]) -> float:
    """Return ε of several GANs for whoever sees all of them, each after all of its steps.

    They may differ in steps, noise and share of units. A unit that some of them never saw, as
    happens over the folds of a cross-validation, loses no more than one that all of them saw.

    Args:
        guarantees: of each, at least one; δ is that of the first, which all share.
    """
    told = [(one.noise_multiplier, one.sample_rate, one.steps) for one in guarantees]
    told += [(one.count_noise, 1.0, 1) for one in guarantees if one.count_noise]
    divergences = sum(_divergences(noise, rate) * steps for noise, rate, steps in told)
    with warnings.catch_warnings():  # that a wider range of orders might tell of less
        warnings.simplefilter("ignore", UserWarning)
        epsilon, _ = rdp.get_privacy_spent(
            orders=list(_ORDERS), rdp=divergences, delta=guarantees[0].delta
        )
    return float(epsilon)


@lru_cache(maxsize=64)  # seconds where a step sees most units, and asked for again at every tick
def _divergences(noise: float, sample_rate: float) -> npt.NDArray[np.float64]:
    """Return what one step spends at each of the orders."""
    found = rdp.compute_rdp(q=sample_rate, noise_multiplier=noise, steps=1, orders=list(_ORDERS))
    return np.asarray(found, dtype=np.float64)


def together(guarantee: Guarantee, gans: int) -> Guarantee:
    """Return the guarantee of one of several GANs, with what all of them spend."""
    return replace(guarantee, gans=gans, epsilon_together=composed([guarantee] * gans))
