"""From a discriminator's logit to the probability that an image is real."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A logistic head on the logit: ``p = sigmoid(slope * (logit - centre) / scale + bias)``.

    Attributes:
        brier: mean squared error of p on the images it was fitted on, 0.25 is a coin's.
    """

    centre: float
    scale: float
    slope: float
    bias: float
    brier: float

    def p_real(self, logits: Scores) -> Scores:
        """Return p(real) ``[N]`` in 0..1 for logits ``[N]``."""
        result: Scores = expit(self.slope * (logits - self.centre) / self.scale + self.bias)
        return result


def calibrate(real_logits: Scores, fake_logits: Scores) -> Calibration:
    """Fit p(real) on held-out real images and fresh fakes, both classes weighted alike.

    A relativistic logit has no zero of its own and is no log density ratio, so the head is
    fitted on images the discriminator never saw (Platt 1999; Azadi et al. 2019,
    arXiv:1810.06758, section 3.3, calibrates likewise before rejection sampling).
    """
    logits = np.concatenate([real_logits, fake_logits])
    is_real = np.concatenate([np.ones(len(real_logits)), np.zeros(len(fake_logits))])
    centre, scale = float(np.median(logits)), float(logits.std()) or 1.0
    head = LogisticRegression(class_weight="balanced")
    head.fit((logits - centre)[:, None] / scale, is_real)
    slope, bias = float(head.coef_[0, 0]), float(head.intercept_[0])
    unscored = Calibration(centre, scale, slope, bias, brier=float("nan"))
    real_error = np.square(1.0 - unscored.p_real(real_logits)).mean()
    fake_error = np.square(unscored.p_real(fake_logits)).mean()
    return Calibration(centre, scale, slope, bias, float((real_error + fake_error) / 2))
