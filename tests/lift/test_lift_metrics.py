from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, recall_score

from tasks.contracts.errors import UserError
from tasks.contracts.params import report as report_params
from tasks.lift.metrics import METRICS, Counter, metric_named, recall
from tests.reference.lift_bootstrap import METRICS as REFERENCE


@pytest.fixture
def judged():
    rng = np.random.default_rng(3)
    labels = np.concatenate([np.arange(4), rng.choice(4, 80, p=[0.55, 0.3, 0.1, 0.05])])
    predicted = np.where(rng.random((3, 84)) < 0.6, labels, rng.integers(0, 4, (3, 84)))
    return labels, predicted


def measured(name, labels, predicted, weights):
    counts = Counter(labels, predicted, np.ones(predicted.shape), 4)(weights)
    return METRICS[name].of(counts)


@pytest.mark.parametrize("name", REFERENCE)
def test_equals_scikit_learn_under_weights(name, judged):
    labels, predicted = judged
    weights = np.random.default_rng(4).gamma(1.0, size=(5, len(labels)))
    expected = [
        [REFERENCE[name](labels, run, sample_weight=w) for run in predicted] for w in weights
    ]
    np.testing.assert_allclose(measured(name, labels, predicted, weights), expected, rtol=1e-12)


@pytest.mark.parametrize("name", REFERENCE)
def test_whole_weights_are_repeated_images(name, judged):
    labels, predicted = judged
    times = np.random.default_rng(5).integers(0, 4, len(labels))
    expected = [
        REFERENCE[name](np.repeat(labels, times), np.repeat(run, times)) for run in predicted
    ]
    found = measured(name, labels, predicted, times[None].astype(float))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_log_loss_equals_scikit_learn_under_weights(judged):
    labels, predicted = judged
    rng = np.random.default_rng(6)
    probabilities = rng.dirichlet(np.ones(4), (3, len(labels)))
    probabilities[:, 0] = 0.0
    probabilities[:, 0, (labels[0] + 1) % 4] = 1.0  # sure, and wrong
    weights = rng.gamma(1.0, size=(5, len(labels)))
    p_label = probabilities[:, np.arange(len(labels)), labels]
    found = METRICS["log_loss"].of(Counter(labels, predicted, p_label, 4)(weights))
    expected = [
        [log_loss(labels, p, sample_weight=w, labels=range(4)) for p in probabilities]
        for w in weights
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_recall_of_a_class_without_weight_is_unknown_and_left_out_of_the_mean(judged):
    labels, predicted = judged
    weights = (labels != 3).astype(float)[None]
    counts = Counter(labels, predicted, np.ones(predicted.shape), 4)(weights)
    assert np.isnan(recall(counts)[..., 3]).all()
    expected = [
        recall_score(labels, run, sample_weight=weights[0], average=None, labels=[0, 1, 2])
        for run in predicted
    ]
    np.testing.assert_allclose(recall(counts)[0, :, :3], expected)
    balanced = METRICS["balanced_accuracy"].of(counts)[0]
    np.testing.assert_allclose(balanced, np.mean(expected, axis=1))


def test_a_class_by_name_gives_its_recall(judged):
    labels, predicted = judged
    metric = metric_named("recall:cat", ["ant", "bee", "cat", "dog"])
    counts = Counter(labels, predicted, np.ones(predicted.shape), 4)(np.ones((1, 84)))
    np.testing.assert_array_equal(metric.of(counts), recall(counts)[..., 2])
    assert (metric.title, metric.column, metric.label) == ("recall of ‘cat’", "recall_2", 2)


def test_an_unknown_class_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"no class 'catt'.*The nearest is recall:cat"):
        metric_named("recall:catt", ["dog", "cat"])
    with pytest.raises(UserError, match=r"recall:日本"):
        metric_named("recall:zz", ["日本"])


def test_what_params_allow_is_what_there_is():
    assert set(METRICS) == set(report_params.METRICS)
