from __future__ import annotations

import numpy as np
import pytest

from tasks.lift.predictions import ArmRuns, Predictions
from tasks.lift.significance import holm, mcnemar_pairs
from tests.reference.lift_significance import holm as textbook_holm
from tests.reference.lift_significance import mcnemar_exact


def arms(rng, images=40, runs=3, gans=(7, 8, 7)):
    labels = rng.integers(0, 3, images)

    def made(skill, gan_seeds):
        hit = rng.random((runs, images)) < skill
        predicted = np.where(hit, labels, (labels + 1) % 3)
        return ArmRuns(tuple(range(runs)), gan_seeds, predicted, np.ones(predicted.shape))

    both = {"treatment": made(0.8, gans), "baseline": made(0.6, None)}
    return Predictions(labels, np.arange(images), both)


@pytest.mark.parametrize("seed", range(5))
def test_mcnemar_equals_the_textbook(seed):
    judged = arms(np.random.default_rng(seed))
    treated, base = (judged.arms[arm].predicted == judged.labels for arm in judged.arms)
    found = mcnemar_pairs(judged, "treatment", "baseline")
    assert [(pair.seed, pair.gan_seed) for pair in found] == [(0, 7), (1, 8), (2, 7)]
    for pair, ours, theirs in zip(found, treated, base, strict=True):
        assert pair.treatment_only == sum(ours & ~theirs)
        assert pair.baseline_only == sum(theirs & ~ours)
        expected = mcnemar_exact(pair.treatment_only, pair.baseline_only)
        assert pair.p_value == round(expected, 6)


def test_mcnemar_of_equal_runs_finds_nothing():
    judged = arms(np.random.default_rng(0))
    (first, *_) = mcnemar_pairs(judged, "baseline", "baseline")
    assert (first.treatment_only, first.baseline_only, first.p_value) == (0, 0, 1.0)
    assert first.gan_seed is None


@pytest.mark.parametrize("seed", range(5))
def test_holm_equals_the_textbook(seed):
    rng = np.random.default_rng(seed)
    p_values = np.append(rng.random(6) ** 3, [0.01, 0.01])  # two of them equal
    found = holm(list(p_values))
    assert found == pytest.approx(textbook_holm(list(p_values)))
    assert holm([]) == []
