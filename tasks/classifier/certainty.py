"""How sure classifiers are of the label an image goes under, out of sample and calibrated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.classifier.crossfit import cross_fit
from tasks.classifier.temperature import fit_temperature, tempered
from tasks.classifier.training import Probabilities, Schedule
from tasks.contracts.image_set import ImageSet, Labels, concatenate

Scores = npt.NDArray[np.float64]


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
class Certainty:
    """What cross-fitted classifiers say of labels.

    Attributes:
        pool: the scores of `CERTAINTY` ``[M]``, and ``agrees``, of the pool by all classifiers.
        real: those scores ``[N]`` of real/train, each image by who did not train on it.
        temperature: of all classifiers together.
    """

    pool: dict[str, npt.NDArray[np.generic]]
    real: dict[str, Scores]
    temperature: float


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
        UserError: more folds than training images, or a training diverged.
    """
    said = cross_fit(train, concatenate([val, pool]), schedule, folds=folds, seed=seed, watch=watch)
    temperature = fit_temperature(said.others[: len(val)], val.labels)
    alone = tempered(said.real, fit_temperature(said.members[:, : len(val)], val.labels))
    together = tempered(said.others[len(val) :], temperature)
    scores = {name: score(together, pool.labels) for name, score in CERTAINTY.items()}
    return Certainty(
        {**scores, "agrees": agrees(together, pool.labels)},
        {name: score(alone, train.labels) for name, score in CERTAINTY.items()},
        temperature,
    )
