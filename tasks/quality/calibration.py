"""From a discriminator's logit to the probability that an image is real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import StratifiedKFold

from tasks.contracts.errors import UserError
from tasks.quality.neighbours import Scores

Head = Callable[[Scores], Scores]
"""Logits ``[N]`` to p(real) ``[N]`` in 0..1, were real and fake equally frequent."""

_FOLDS = 5
_BINS = 10


def logistic(real: Scores, fake: Scores) -> Head:
    """Fit ``sigmoid(slope * logit + bias)``, slope >= 0 (Platt 1999), logits ``[N]`` and ``[M]``.

    A relativistic or hinge logit has no zero of its own and is no log density ratio, so it is
    fitted on images that the discriminator never saw (Azadi et al. 2019, arXiv:1810.06758,
    section 3.3, calibrate likewise before they reject). Where fakes score above reals, the
    likelihood is concave in the slope and so best at 0, where p(real) is 0.5 for every image: a
    falling head would call the least real images the most real.
    """
    logits, is_real, _ = _joined(real, fake)
    centre, scale = float(np.median(logits)), float(logits.std()) or 1.0
    head = LogisticRegression(class_weight="balanced")
    head.fit((logits - centre)[:, None] / scale, is_real)
    if head.coef_[0, 0] <= 0:
        return lambda logits: np.full(len(logits), 0.5)
    return lambda logits: head.predict_proba((logits - centre)[:, None] / scale)[:, 1]


def isotonic(real: Scores, fake: Scores) -> Head:
    """Fit the best non-decreasing function (Zadrozny and Elkan 2002), straight between its knots.

    Held inside ``1 / (N + M + 2)`` and 1 less that, as Laplace's rule has it: a few dozen images
    that are told apart are no proof of certainty.
    """
    logits, is_real, weights = _joined(real, fake)
    least = 1.0 / (len(logits) + 2)
    head = IsotonicRegression(y_min=least, y_max=1.0 - least, out_of_bounds="clip")
    head.fit(logits, is_real, sample_weight=weights)
    return lambda logits: np.asarray(head.predict(logits), dtype=np.float64)


CALIBRATIONS: dict[str, Callable[[Scores, Scores], Head]] = {
    "logistic": logistic,
    "isotonic": isotonic,
}


def tells_nothing(head: Head, real: Scores, fake: Scores) -> bool:
    """Return whether a head says the same of every image: its discriminator ranks none."""
    logits = np.concatenate([real, fake])
    lowest, highest = head(np.array([logits.min(), logits.max()]))
    return bool(highest <= lowest)


@dataclass(frozen=True)
class OutOfFold:
    """What heads say of the images that they were not fitted on.

    Attributes:
        p_real: ``[N + M]``, real images first.
        is_real: ``[N + M]``, 0 or 1.
        weights: ``[N + M]``, with which real and fake weigh alike; they sum to 1.
    """

    p_real: Scores
    is_real: Scores
    weights: Scores

    @property
    def brier(self) -> float:
        """Mean squared error of p(real): 0 is perfect, 0.25 a coin's (Brier 1950)."""
        return float(
            brier_score_loss(self.is_real, self.p_real, sample_weight=self.weights, pos_label=1)
        )

    def reliability(self) -> pd.DataFrame:
        """Return the reliability curve: in bins of equal count, what was said and what was so.

        Columns: p_real (mean of the bin, 0..1), share_real (of its images, 0..1), images. Ten
        quantile bins; images of one p(real) stay together, so there may be fewer.
        """
        edges = np.unique(np.quantile(self.p_real, np.arange(1, _BINS) / _BINS))
        table = pd.DataFrame(
            {
                "bin": np.searchsorted(edges, self.p_real, side="left"),
                "p_real": self.p_real * self.weights,
                "share_real": self.is_real * self.weights,
                "weight": self.weights,
            }
        )
        bins = table.groupby("bin").sum()
        curve = bins[["p_real", "share_real"]].div(bins["weight"], axis=0)
        return curve.assign(images=table.groupby("bin").size()).reset_index(drop=True)


def out_of_fold(
    fit: Callable[[Scores, Scores], Head], real: Scores, fake: Scores, seed: int
) -> OutOfFold:
    """Let heads judge what they were not fitted on: 5 folds, fewer where images are.

    Args:
        fit: one of `CALIBRATIONS`.
        real: logits ``[N]`` of held-out real images.
        fake: logits ``[M]`` of fakes that joined no pool.
        seed: of the folds.

    Raises:
        UserError: fewer than 2 images of either.
    """
    logits, is_real, weights = _joined(real, fake)
    folds = min(_FOLDS, len(real), len(fake))
    if folds < 2:
        raise UserError(
            "real/val",
            f"{len(real)} images are too few to calibrate a discriminator on",
            "Raise ingest.val_share",
        )
    p_real = np.empty(len(logits))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32)
    for fitted, judged in split.split(logits, is_real):
        mine = is_real[fitted] == 1
        p_real[judged] = fit(logits[fitted][mine], logits[fitted][~mine])(logits[judged])
    return OutOfFold(p_real, is_real, weights)


def _joined(real: Scores, fake: Scores) -> tuple[Scores, Scores, Scores]:
    """Logits, which of them are real, and weights that sum to 1, a half for either kind."""
    is_real = np.repeat([1.0, 0.0], [len(real), len(fake)])
    weights = np.repeat([0.5 / len(real), 0.5 / len(fake)], [len(real), len(fake)])
    return np.concatenate([real, fake]), is_real, weights
