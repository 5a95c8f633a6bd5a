from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from tasks.classifier.certainty import (
    agrees,
    certainty,
    confidence,
    fit_temperature,
    margin,
    tempered,
)
from tasks.classifier.crossfit import Columns, cross_fit, mean_of
from tasks.classifier.examples import Examples
from tasks.classifier.training import Schedule
from tasks.classifier.trials import Trial, val_balanced_accuracy
from tests.contracts.tiny import shape_set

QUICK = Schedule("small_cnn", steps=3, batch_size=8, learning_rate=0.002, weight_decay=0.01)


def said(temperature: float, n: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from a softmax, and what a classifier with too sharp a one says."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 4)) * 1.5
    labels = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return softmax(logits * temperature, axis=1).astype(np.float32), labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_a_known_classifier_is_found(temperature: float) -> None:
    probabilities, labels = said(temperature)
    assert fit_temperature(probabilities, labels) == pytest.approx(temperature, rel=0.04)
    both = np.stack([probabilities, said(temperature)[0]])
    assert fit_temperature(both, labels) == pytest.approx(temperature, rel=0.04)
    # past a millionth of a millionth a probability is held
    np.testing.assert_allclose(tempered(probabilities, temperature), said(1.0)[0], atol=1e-3)


def test_tempering_keeps_the_order_and_takes_certainties() -> None:
    sure = np.array([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]], dtype=np.float32)
    for temperature in (0.05, 1.0, 20.0):
        changed = tempered(sure, temperature)
        assert np.isfinite(changed).all()
        np.testing.assert_allclose(changed.sum(axis=1), 1, rtol=1e-6)
        assert changed.argsort(axis=1)[1].tolist() == [0, 1, 2]
    np.testing.assert_allclose(tempered(sure, 1.0), sure, atol=1e-6)
    assert 0.05 <= fit_temperature(sure, np.array([0, 2])) <= 20
    assert fit_temperature(sure, np.array([1, 0])) == pytest.approx(20, rel=0.01)


def test_confidence_margin_and_agreement_are_of_the_own_label() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]], dtype=np.float32)
    labels = np.array([0, 1])
    assert confidence(probabilities, labels) == pytest.approx([0.7, 0.2])
    assert margin(probabilities, labels) == pytest.approx([0.5, -0.5])
    assert agrees(probabilities, labels).tolist() == [True, False]
    assert probabilities[1, 1] == np.float32(0.2)  # nothing was written into them


def test_one_and_all_are_calibrated_each_by_its_own() -> None:
    train, val, pool = shape_set(6), shape_set(4, seed=1), shape_set(3, seed=2)
    shares: list[float] = []
    found = certainty(
        train, val, pool, QUICK, folds=3, seed=5, watch=lambda share, text: shares.append(share)
    )
    assert [shares[0], shares[-1]] == [pytest.approx(1 / 6), 1.0]
    assert shares == sorted(shares)
    fitted = cross_fit(train, QUICK, folds=3, seed=5, watch=lambda share, text: None)
    of_val, of_pool = (fitted.members(Examples.of(images)) for images in (val, pool))
    one = fit_temperature(of_val, val.labels)
    assert found.ensemble.temperature == fit_temperature(mean_of(of_val), val.labels) != one
    mean = tempered(mean_of(of_pool), found.ensemble.temperature)
    np.testing.assert_array_equal(found.ensemble.shares(pool), mean)
    np.testing.assert_allclose(found.pool["confidence"], confidence(mean, pool.labels), rtol=1e-5)
    np.testing.assert_array_equal(found.pool["agrees"], mean.argmax(axis=1) == pool.labels)

    def margins(said: np.ndarray, labels: np.ndarray) -> Columns:
        return {"margin": margin(tempered(said, one), labels)}

    np.testing.assert_array_equal(found.real["margin"], fitted.out_of_fold(margins)["margin"])
    assert set(found.real) == {"confidence", "margin"}


def test_trials_are_judged_on_val_alike_in_any_company() -> None:
    sets = [shape_set(4), shape_set(6, seed=3)]
    trials = [Trial(Examples.of(sets[which]), 0) for which in (0, 1, 0)]
    done: list[int] = []
    schedule = Schedule("small_cnn", 30, 16, learning_rate=0.005, weight_decay=0.0)

    def judged(some: list[Trial]) -> list[float]:
        return val_balanced_accuracy(
            iter(some), shape_set(10, seed=9), schedule, classes=3, watch=done.append
        )

    scores = judged(trials)
    assert done == [1, 2, 3]
    assert scores[0] == scores[2]
    assert all(0 <= score <= 1 for score in scores)
    assert judged(trials[1:2]) == [scores[1]]
