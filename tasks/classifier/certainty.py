"""How sure classifiers are of the label an image goes under, out of sample and calibrated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from tasks.classifier.crossfit import Columns, CrossFit, cross_fit, mean_of
from tasks.classifier.examples import Examples
from tasks.classifier.training import BATCH, Probabilities, Schedule
from tasks.contracts.image_set import ImageSet, Labels

Scores = npt.NDArray[np.float64]
_MOST = np.log(20.0)  # temperatures of 1/20 to 20: past them a probability is 0 or a guess anyway
_FITTING = 0.5  # of the progress


def confidence(probabilities: Probabilities, labels: Labels) -> Scores:
    """Return the probability ``[N]`` of each image's own label, of ``[N, K]``."""
    own: Scores = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return own


def margin(probabilities: Probabilities, labels: Labels) -> Scores:
    """Return the lead of the own label over the best other one, ``[N]`` in -1..1."""
    others: Scores = probabilities.astype(np.float64)
    others[np.arange(len(labels)), labels] = -np.inf
    lead: Scores = confidence(probabilities, labels) - others.max(axis=1)
    return lead


def agrees(probabilities: Probabilities, labels: Labels) -> npt.NDArray[np.bool_]:
    """Tell where the own label is the likeliest, ``[N]``."""
    result: npt.NDArray[np.bool_] = probabilities.argmax(axis=1) == labels
    return result


CERTAINTY: dict[str, Callable[[Probabilities, Labels], Scores]] = {
    "confidence": confidence,
    "margin": margin,
}


@dataclass(frozen=True)
class Ensemble:
    """Cross-fitted classifiers, and the temperature at which real/val's labels are likeliest."""

    fitted: CrossFit
    temperature: float

    def shares(self, images: ImageSet) -> Probabilities:
        """Return the mean probabilities of all classifiers, tempered: soft labels ``[N, K]``."""
        soft = partial(_tempered, temperature=self.temperature)
        return self.fitted.together(Examples.of(images), soft, lambda share, text: None)["shares"]


def _tempered(probabilities: Probabilities, labels: Labels, *, temperature: float) -> Columns:
    return {"shares": tempered(probabilities, temperature)}


@dataclass(frozen=True)
class Certainty:
    """What cross-fitted classifiers say of labels.

    Attributes:
        pool: the scores of `CERTAINTY` ``[M]``, and ``agrees``, of the pool by all classifiers.
        real: those scores ``[N]`` of real/train, each image by who did not train on it.
        ensemble: the classifiers, and their temperature together.
    """

    pool: Columns
    real: Columns
    ensemble: Ensemble


def certainty(
    train: ImageSet,
    val: ImageSet,
    pool: ImageSet,
    schedule: Schedule,
    *,
    folds: int,
    seed: int,
    watch: Callable[[float, str], None],
) -> Certainty:
    """Cross-fit on real/train, settle temperatures on real/val, and judge.

    A classifier alone is too sure and the mean of several less so: either has a temperature of
    its own, or what the mean says of the pool could not be held against what one says of a real
    image.

    Raises:
        UserError: more folds than groups of training images, or a training diverged.
    """
    fitted = cross_fit(
        train,
        schedule,
        folds=folds,
        seed=seed,
        watch=lambda share, text: watch(_FITTING * share, text),
    )
    others = Examples.of(val).joined(Examples.of(pool))
    batches = -(-len(val) // BATCH)  # whole ones: another number of images may round otherwise
    span = others.take(np.arange(min(batches * BATCH, len(others))))
    of_val = fitted.members(span)[:, : len(val)]
    temperature = fit_temperature(mean_of(of_val), val.labels)
    alone = fit_temperature(of_val, val.labels)
    of_others = fitted.together(
        others,
        partial(_scores, temperature=temperature),
        lambda share, text: watch(_FITTING + (1 - _FITTING) * share, text),
    )
    of_real = fitted.out_of_fold(partial(_scores, temperature=alone))
    del of_real["agrees"]
    of_pool = {name: column[len(val) :] for name, column in of_others.items()}
    return Certainty(of_pool, of_real, Ensemble(fitted, temperature))


def _scores(probabilities: Probabilities, labels: Labels, *, temperature: float) -> Columns:
    said = tempered(probabilities, temperature)
    scores: Columns = {name: score(said, labels) for name, score in CERTAINTY.items()}
    return scores | {"agrees": agrees(said, labels)}


def fit_temperature(probabilities: Probabilities, labels: Labels) -> float:
    """Return the temperature at which the labels are likeliest (Guo et al. 2017, arXiv:1706.04599).

    Args:
        probabilities: ``[N, K]`` or ``[F, N, K]``, of F classifiers that share a temperature, on
            images none of them was trained on.
        labels: ``[N]``.

    Returns:
        1/20 to 20; above 1 where the classifier was too sure.
    """
    logits = _log(probabilities)

    def loss(exponent: float) -> float:
        likelihood = np.empty((len(labels), *logits.shape[:-2]))
        for start in range(0, len(labels), BATCH):
            own = labels[start : start + BATCH]
            said = log_softmax(logits[..., start : start + BATCH, :] / np.exp(exponent), axis=-1)
            likelihood[start : start + BATCH] = said[..., np.arange(len(own)), own].T
        return float(-likelihood.mean())

    found = minimize_scalar(loss, bounds=(-_MOST, _MOST), method="bounded")
    return float(np.exp(found.x))


def tempered(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return ``softmax(log(p) / temperature)``, float32, over the last axis."""
    result: Probabilities = softmax(_log(probabilities) / temperature, axis=-1).astype(np.float32)
    return result


def _log(probabilities: Probabilities) -> np.ndarray:
    return np.log(np.maximum(probabilities.astype(np.float64), 1e-12))
