from __future__ import annotations

import numpy as np
import pytest

from tasks.classifier.crossfit import CrossFit, cross_fit
from tasks.classifier.training import Schedule, fit, probabilities, stratified_folds
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tests.contracts.tiny import shape_set
from tests.data.fake_sets import image_set

QUICK = Schedule("small_cnn", steps=3, batch_size=8, learning_rate=0.002, weight_decay=0.01)


def crossed(train: ImageSet, others: ImageSet, schedule: Schedule, folds: int) -> CrossFit:
    return cross_fit(train, others, schedule, folds=folds, seed=0, watch=lambda share, text: None)


def test_an_image_is_judged_by_a_classifier_that_never_saw_it() -> None:
    """Random blocks under random labels: nothing can be learned of them but by heart."""
    blocks = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)
    images = blocks.repeat(2, axis=1).repeat(2, axis=2)
    puzzle = image_set(images, [0] * 20 + [1] * 20, ["cat", "dog"])
    by_heart = Schedule("small_cnn", 100, batch_size=16, learning_rate=0.005, weight_decay=0.0)
    result = crossed(puzzle, puzzle, by_heart, folds=2)

    def accuracy(predicted: np.ndarray) -> float:
        return float((predicted.argmax(axis=1) == puzzle.labels).mean())

    # `others` is the mean of both classifiers: of the one that saw the image, and of this one
    who_saw_it = 2 * result.others - result.real
    assert accuracy(who_saw_it) > 0.9
    assert accuracy(result.real) < 0.7


def test_each_fold_is_judged_by_the_fit_on_the_others() -> None:
    train, others = shape_set(6), shape_set(3, seed=5)
    result = crossed(train, others, QUICK, folds=3)
    fold_of = stratified_folds(train.labels, 3, 0)
    total = np.zeros((len(others), 3))
    for fold in range(3):
        held_out = fold_of == fold
        network = fit(train.take(~held_out), QUICK, classes=3, augment=True, flip=False, seed=fold)
        np.testing.assert_array_equal(
            result.real[held_out], probabilities(network, train.take(held_out))
        )
        total += probabilities(network, others)
        np.testing.assert_array_equal(result.members[fold], probabilities(network, others))
    np.testing.assert_array_equal(result.others, (total / 3).astype(np.float32))


def test_progress_ends_at_one() -> None:
    seen: list[float] = []
    train = shape_set(2)
    cross_fit(train, train, QUICK, folds=2, seed=0, watch=lambda share, text: seen.append(share))
    assert seen == [0.5, 1.0]


def test_more_folds_than_images_are_refused() -> None:
    with pytest.raises(UserError, match=r"folds: 7: more than the 6 training images"):
        crossed(shape_set(2), shape_set(2), QUICK, folds=7)
