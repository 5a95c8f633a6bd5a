from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import recall_score

from tasks.lift.metrics import METRICS, Counter, recall
from tests.reference.lift_bootstrap import METRICS as REFERENCE


@pytest.fixture
def judged():
    rng = np.random.default_rng(3)
    labels = np.concatenate([np.arange(4), rng.choice(4, 80, p=[0.55, 0.3, 0.1, 0.05])])
    predicted = np.where(rng.random((3, 84)) < 0.6, labels, rng.integers(0, 4, (3, 84)))
    return labels, predicted


@pytest.mark.parametrize("name", METRICS)
def test_equals_scikit_learn_under_weights(name, judged):
    labels, predicted = judged
    weights = np.random.default_rng(4).gamma(1.0, size=(5, len(labels)))
    found = METRICS[name](Counter(labels, predicted, 4)(weights))
    expected = [
        [REFERENCE[name](labels, run, sample_weight=w) for run in predicted] for w in weights
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_whole_weights_are_repeated_images(name, judged):
    labels, predicted = judged
    times = np.random.default_rng(5).integers(0, 4, len(labels))
    found = METRICS[name](Counter(labels, predicted, 4)(times[None].astype(float)))[0]
    expected = [
        REFERENCE[name](np.repeat(labels, times), np.repeat(run, times)) for run in predicted
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_recall_of_a_class_without_weight_is_unknown_and_left_out_of_the_mean(judged):
    labels, predicted = judged
    weights = (labels != 3).astype(float)[None]
    counts = Counter(labels, predicted, 4)(weights)
    assert np.isnan(recall(counts)[..., 3]).all()
    expected = [
        recall_score(labels, run, sample_weight=weights[0], average=None, labels=[0, 1, 2])
        for run in predicted
    ]
    np.testing.assert_allclose(recall(counts)[0, :, :3], expected)
    np.testing.assert_allclose(METRICS["balanced_accuracy"](counts)[0], np.mean(expected, axis=1))
