from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.classifier import crossfit
from tasks.classifier.crossfit import Columns, CrossFit, cross_fit, mean_of, stratified_folds
from tasks.classifier.examples import Examples
from tasks.classifier.networks import build_classifier
from tasks.classifier.training import BATCH, Schedule, fit, probabilities
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tests.contracts.tiny import shape_set
from tests.data.fake_sets import image_set, noise_set

QUICK = Schedule("small_cnn", steps=3, batch_size=8, learning_rate=0.002, weight_decay=0.01)


def crossed(train: ImageSet, schedule: Schedule, folds: int) -> CrossFit:
    return cross_fit(train, schedule, folds=folds, seed=0, watch=lambda share, text: None)


def whole(probabilities: np.ndarray, labels: np.ndarray) -> Columns:
    return {"said": probabilities, "label": labels}


def unwatched(share: float, text: str) -> None: ...


def test_an_image_is_judged_by_a_classifier_that_never_saw_it() -> None:
    """Random blocks under random labels: nothing can be learned of them but by heart."""
    blocks = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)
    images = blocks.repeat(2, axis=1).repeat(2, axis=2)
    puzzle = image_set(images, [0] * 20 + [1] * 20, ["cat", "dog"])
    by_heart = Schedule("small_cnn", 100, batch_size=16, learning_rate=0.005, weight_decay=0.0)
    fitted = crossed(puzzle, by_heart, folds=2)

    def accuracy(predicted: np.ndarray) -> float:
        return float((predicted.argmax(axis=1) == puzzle.labels).mean())

    unseen = fitted.out_of_fold(whole)["said"]
    # together they are the mean of both classifiers: of the one that saw the image, and of this one
    who_saw_it = 2 * fitted.together(Examples.of(puzzle), whole, unwatched)["said"] - unseen
    assert accuracy(who_saw_it) > 0.9
    assert accuracy(unseen) < 0.7


def test_each_fold_is_judged_by_the_fit_on_the_others() -> None:
    train, others = shape_set(6), shape_set(3, seed=5)
    result = crossed(train, QUICK, folds=3)
    fold_of = stratified_folds(train.labels, np.arange(len(train)), 3, 0)
    unseen = result.out_of_fold(whole)
    assert unseen["label"].tolist() == train.labels.tolist()
    members = result.members(Examples.of(others))
    for fold in range(3):
        held_out = fold_of == fold
        network = fit(train.take(~held_out), QUICK, classes=3, augment=True, flip=False, seed=fold)
        np.testing.assert_array_equal(
            unseen["said"][held_out], probabilities(network, train.take(held_out))
        )
        np.testing.assert_array_equal(members[fold], probabilities(network, others))
    mean = result.together(Examples.of(others), whole, unwatched)
    np.testing.assert_array_equal(mean["said"], mean_of(members))
    assert mean["label"].tolist() == others.labels.tolist()


def test_the_mean_is_taken_in_double_precision() -> None:
    members = np.random.default_rng(0).random((5, 7, 3), dtype=np.float32)
    total = sum(member.astype(np.float64) for member in members)
    np.testing.assert_array_equal(mean_of(members), (total / 5).astype(np.float32))


def test_many_images_are_judged_in_batches_that_do_not_depend_on_the_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted, others = crossed(shape_set(4), QUICK, folds=2), Examples.of(shape_set(500, seed=5))
    shares: list[float] = []
    one = fitted.together(others, whole, lambda share, text: shares.append(share))
    monkeypatch.setattr(crossfit, "_SPAN", BATCH)
    two = fitted.together(others, whole, lambda share, text: shares.append(share))
    np.testing.assert_array_equal(one["said"], two["said"])
    np.testing.assert_array_equal(one["said"], mean_of(fitted.members(others)))
    assert shares == [1.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]


def test_no_more_is_held_of_many_images_than_what_is_made_of_them() -> None:
    """A probability of each of 200 classes would be 800 bytes an image."""
    names = [str(number) for number in range(200)]
    network = build_classifier("small_cnn", channels=1, classes=200, image_size=8).eval()
    pool = Examples.of(noise_set(13, names))

    def surest(said: np.ndarray, labels: np.ndarray) -> Columns:
        return {"surest": said.max(axis=1)}

    def peak(images: Examples) -> int:
        tracemalloc.start()
        fitted = CrossFit([network, network], images, images.labels)
        fitted.together(images, surest, unwatched)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few = pool.take(np.arange(2 * BATCH))
    peak(few)  # what is loaded once
    assert (peak(pool) - peak(few)) / (len(pool) - len(few)) < 200


def test_progress_ends_at_one() -> None:
    seen: list[float] = []
    train = shape_set(2)
    cross_fit(train, QUICK, folds=2, seed=0, watch=lambda share, text: seen.append(share))
    assert seen == [0.5, 1.0]


def test_more_folds_than_images_are_refused() -> None:
    with pytest.raises(UserError, match=r"folds: 7: more than the 6 groups of training images"):
        crossed(shape_set(2), QUICK, folds=7)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(2, 9), st.integers(0, 99))
def test_folds_are_even_over_all_and_over_every_class(
    drawn: list[int], folds: int, seed: int
) -> None:
    labels = np.array(drawn)
    fold_of = stratified_folds(labels, np.arange(len(labels)), folds, seed)
    assert (
        fold_of.tolist() == stratified_folds(labels, np.arange(len(labels)), folds, seed).tolist()
    )
    for rows in (np.full(len(labels), True), *(labels == label for label in np.unique(labels))):
        sizes = np.bincount(fold_of[rows], minlength=folds)
        assert len(sizes) == folds
        assert sizes.max() - sizes.min() <= 1


def test_folds_are_drawn_anew_by_another_seed() -> None:
    labels = np.repeat([0, 1], 20)
    one, two = (stratified_folds(labels, np.arange(40), 4, seed) for seed in (0, 1))
    assert one.tolist() != two.tolist()


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4)), min_size=1, max_size=80),
    st.integers(2, 9),
)
def test_no_group_is_parted_by_folds_which_are_even_in_groups(
    drawn: list[tuple[int, int]], folds: int
) -> None:
    groups = np.array([group for group, _ in drawn])
    fold_of = stratified_folds(np.array([label for _, label in drawn]), groups, folds, 0)
    of_group = {
        (group, fold) for group, fold in zip(groups.tolist(), fold_of.tolist(), strict=True)
    }
    assert len(of_group) == len(set(groups.tolist()))
    sizes = np.bincount([fold for _, fold in of_group], minlength=folds)
    assert sizes.max() - sizes.min() <= 1
