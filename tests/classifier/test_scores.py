from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from torchmetrics.functional.classification import binary_calibration_error

from tasks.classifier.scores import Predictions, scores_of


def softmax(seed: int, n: int, classes: int, sharpness: float) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, sharpness, (n, classes)).astype(np.float32)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def scored(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    return scores_of(labels, Predictions.of(predicted, labels), predicted.shape[1])


def slow_ece(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Guo et al. 2017, equation 3, bin by bin."""
    confidence, right = predicted.max(axis=1), predicted.argmax(axis=1) == labels
    edges = np.linspace(0, 1, 16, dtype=np.float32)
    total = 0.0
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.sum() * abs(right[inside].mean() - confidence[inside].mean())
    return total / len(labels)


@given(st.integers(0, 999), st.integers(2, 6), st.sampled_from([0.1, 1.0, 30.0]))
def test_sklearn_agrees(seed: int, classes: int, sharpness: float) -> None:
    labels = np.random.default_rng(seed).permutation(np.arange(40) % classes)
    predicted = softmax(seed, 40, classes, sharpness)
    choice, scores = predicted.argmax(axis=1), scored(labels, predicted)
    assert scores["accuracy"] == pytest.approx((choice == labels).mean())
    assert scores["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(labels, choice)
    )
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(labels, choice, average="macro"))
    own = predicted[np.arange(40), labels].astype(np.float64)
    assert scores["log_loss"] == pytest.approx(
        -np.log(np.maximum(own, np.finfo(float).eps)).mean(), rel=1e-3
    )
    for label in range(classes):
        assert scores[f"recall_{label}"] == pytest.approx((choice == label)[labels == label].mean())
    assert scores["ece"] == pytest.approx(slow_ece(labels, predicted), abs=1e-5)
    assert set(scores) == {"accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"} | {
        f"recall_{label}" for label in range(classes)
    }


def test_a_class_never_predicted_scores_zero_without_complaint() -> None:
    predicted = np.tile(np.float32([0.5, 0.3, 0.2]), (6, 1))
    scores = scored(np.array([0, 0, 0, 1, 1, 2]), predicted)
    assert scores["accuracy"] == 0.5
    assert scores["balanced_accuracy"] == pytest.approx(1 / 3)
    assert scores["macro_f1"] == pytest.approx((2 * 3 / 9) / 3)
    assert [scores[f"recall_{label}"] for label in range(3)] == [1.0, 0.0, 0.0]


def test_rows_that_sum_to_one_only_about_are_fine() -> None:
    predicted = np.float32([[0.7, 0.3000001], [0.2, 0.8]])
    assert scored(np.array([0, 1]), predicted)["accuracy"] == 1.0


def test_certain_and_wrong_is_finite() -> None:
    assert np.isfinite(scored(np.array([0, 1]), np.float32([[0, 1], [1, 0]]))["log_loss"])


def test_calibration_error_is_how_far_confidence_lies_from_accuracy() -> None:
    sure = np.tile(np.float32([0.9, 0.1]), (10, 1))
    labels = np.array([0] * 6 + [1] * 4)
    assert scored(labels, sure)["ece"] == pytest.approx(0.3, abs=1e-6)
    assert scored(np.array([0] * 9 + [1]), sure)["ece"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("images", [1, 7, 5000])
def test_calibration_error_is_torchmetrics_to_the_bit(images: int) -> None:
    rng = np.random.default_rng(images)
    for spread in (0.05, 0.5):
        sure = np.clip(rng.normal(0.9, spread, images), 0, 1).astype(np.float32)
        right = rng.uniform(size=images) < 0.7
        labels, predicted = np.zeros(images, np.int64), (~right).astype(np.int32)
        expected = binary_calibration_error(
            torch.from_numpy(sure), torch.from_numpy(right.astype(np.int64)), n_bins=15
        )
        found = scores_of(labels, Predictions(predicted, sure, sure), 2)["ece"]
        assert found == float(expected)
