from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.classifier.pseudo_labels import (
    PseudoLabels,
    Threshold,
    precise_threshold,
    pseudo_label,
    pseudo_labelled_set,
)
from tasks.contracts.image_set import COLUMNS, ImageSet, image_id
from tasks.data.beside import hide_labels
from tests.contracts.tiny import SHAPES, shape_set
from tests.data.fake_sets import noise_set

TRUTH = shape_set(12, seed=2)


def with_truth(truth: np.ndarray) -> ImageSet:
    hidden = hide_labels(TRUTH)
    return ImageSet(hidden.images, hidden.manifest.assign(truth=truth))


def label(unlabelled: ImageSet, steps: int = 60, **options: object) -> PseudoLabels:
    settings = {"members": 2, "seed": 0, "watch": lambda share, text: None} | options
    return pseudo_label(shape_set(20), shape_set(15, seed=1), unlabelled, steps=steps, **settings)


@pytest.fixture(scope="module")
def learned() -> PseudoLabels:
    return label(with_truth(TRUTH.labels))


def test_shapes_are_learned_and_nearly_all_get_the_right_label(learned: PseudoLabels) -> None:
    sure = learned.labels >= 0
    assert sure.mean() > 0.5
    assert (learned.labels[sure] == TRUTH.labels[sure]).mean() > 0.9
    assert learned.limit.precision >= 0.97
    assert learned.labels.dtype == np.int64
    assert f"{sure.sum()} of 36" in learned.told()


def test_only_the_surest_get_a_label(learned: PseudoLabels) -> None:
    assert ((learned.labels >= 0) == (learned.confidence >= learned.limit.confidence)).all()


def test_no_column_of_the_unlabelled_can_matter_and_again_is_the_same(
    learned: PseudoLabels,
) -> None:
    lied = label(with_truth(np.random.default_rng(0).permutation(TRUTH.labels)))
    for name, value in asdict(learned).items():
        np.testing.assert_array_equal(value, asdict(lied)[name])


def test_noise_gets_no_label_and_it_says_so() -> None:
    watched: list[float] = []
    train, val = noise_set(6, seed=3), noise_set(12, seed=4)
    result = pseudo_label(
        train, val, hide_labels(noise_set(4, seed=5)), steps=2, members=3, seed=0,
        watch=lambda share, text: watched.append(share),
    )  # fmt: skip
    assert set(result.labels) == {-1}
    assert result.limit == Threshold(None, None, 0.0)
    assert "none of 8 unlabelled images" in result.told()
    assert watched[-1] == 1.0
    assert len(pseudo_labelled_set(hide_labels(noise_set(4, seed=5)), result, ["a", "b"])) == 0


def test_no_unlabelled_images_at_all() -> None:
    result = label(hide_labels(TRUTH.take([])), steps=2, target=0.0)
    assert len(result.labels) == len(result.confidence) == 0


def test_an_ensemble_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="members is 1"):
        label(hide_labels(TRUTH), members=1)


VAL = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        arrays(np.float32, n, elements=st.sampled_from(np.linspace(0.3, 1.0, 9, dtype=np.float32))),
        arrays(np.bool_, n),
    )
)


@given(VAL, st.floats(0.0, 1.0))
def test_the_threshold_is_the_lowest_that_is_precise(
    drawn: tuple[np.ndarray, np.ndarray], target: float
) -> None:
    confidence, right = drawn
    found = precise_threshold(confidence, right, target)
    precise = [
        float(one)
        for one in np.unique(confidence)
        if (confidence >= one).sum() >= 10 and right[confidence >= one].mean() >= target
    ]
    assert found.confidence == min(precise, default=None)
    if found.confidence is not None:
        accepted = confidence >= found.confidence
        assert found.precision == pytest.approx(right[accepted].mean())
        assert found.share == pytest.approx(accepted.mean())


def test_a_sure_mistake_is_outweighed_and_a_few_right_ones_prove_nothing() -> None:
    confidence = np.linspace(1.0, 0.5, 100, dtype=np.float32)
    right = np.ones(100, dtype=np.bool_)
    right[0] = False
    assert precise_threshold(confidence, right, 0.97).confidence == 0.5
    assert precise_threshold(confidence[:20], right[:20], 0.97).confidence is None
    assert precise_threshold(confidence[1:10], right[1:10], 0.97).confidence is None
    assert precise_threshold(confidence[1:11], right[1:11], 0.97).precision == 1.0


def test_images_of_equal_confidence_are_accepted_together_or_not_at_all() -> None:
    confidence = np.array([0.9] * 12 + [0.8] * 12, dtype=np.float32)
    right = np.array([True] * 12 + [True, False] * 6)
    found = precise_threshold(confidence, right, 0.95)
    assert (found.confidence, found.precision, found.share) == (pytest.approx(0.9), 1.0, 0.5)
    assert precise_threshold(confidence[12:], np.arange(12) < 10, 0.9).confidence is None


def test_what_got_a_label_becomes_a_set(learned: PseudoLabels) -> None:
    unlabelled = with_truth(TRUTH.labels)
    chosen = pseudo_labelled_set(unlabelled, learned, SHAPES)
    sure = np.flatnonzero(learned.labels >= 0)
    assert chosen.labels.tolist() == learned.labels[sure].tolist()
    assert chosen.manifest["class_name"].tolist() == [SHAPES[one] for one in chosen.labels]
    assert chosen.manifest["pseudo_confidence"].tolist() == learned.confidence[sure].tolist()
    assert set(chosen.manifest["origin"]) == {"real"}
    assert set(COLUMNS) < set(chosen.manifest)
    assert [image_id(image) for image in chosen.images] == chosen.manifest["image_id"].tolist()
    assert chosen.manifest["image_id"].tolist() == unlabelled.manifest["image_id"][sure].tolist()
