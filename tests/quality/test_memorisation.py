from __future__ import annotations

import numpy as np
import pytest

from tasks.quality import memorisation
from tasks.quality.memorisation import class_quantiles, copy_thresholds
from tasks.quality.memorisation import nearest_training_image as nearest
from tests.contracts.tiny import shape_set
from tests.reference.nearest_loop import nearest_of


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (16, 3), (32, 1), (64, 3)])
def test_the_loop_over_all_pairs_agrees(size: int, channels: int) -> None:
    images = shape_set(2, size=size, channels=channels, seed=1).images
    train = shape_set(4, size=size, channels=channels, seed=2).images
    distance, row = nearest(images, train)
    expected = [nearest_of(image, train) for image in images]
    np.testing.assert_allclose(distance, [away for away, _ in expected], rtol=1e-6)
    assert row.tolist() == [number for _, number in expected]


@pytest.mark.parametrize("size", [8, 32])
def test_a_copy_is_at_distance_zero(size: int) -> None:
    train = shape_set(10, size=size).images
    rows = np.array([3, 29, 3])
    distance, row = nearest(train[rows], train)
    assert distance.tolist() == [0.0, 0.0, 0.0]
    assert row.tolist() == rows.tolist()


def test_distances_are_grey_levels() -> None:
    train = np.full((1, 8, 8, 3), 100, np.uint8)
    assert nearest(train + np.uint8(7), train)[0].tolist() == [7.0]


def test_noise_does_not_hide_a_copy_of_a_large_image() -> None:
    rng = np.random.default_rng(0)
    train = shape_set(20, size=64).images
    noisy = np.clip(train[:5] + rng.normal(0, 10, train[:5].shape), 0, 255).astype(np.uint8)
    distance, row = nearest(noisy, train)
    assert row.tolist() == [0, 1, 2, 3, 4]
    others, _ = nearest(shape_set(20, size=64, seed=9).images, train)
    assert distance.max() < others.min()


@pytest.mark.parametrize("block", [1, 40_000, 2**25])
def test_it_does_not_depend_on_how_much_is_held_at_once(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, train = shape_set(5, seed=1).images, shape_set(15, seed=2).images
    whole = nearest(images, train)
    monkeypatch.setattr(memorisation, "_BLOCK", block)
    found = nearest(images, train)
    for part, expected in zip(found, whole, strict=True):
        assert part.tolist() == expected.tolist()


def test_each_class_has_its_own_quantile() -> None:
    scores = np.r_[np.linspace(0, 1, 11), np.linspace(10, 20, 11)]
    labels = np.repeat([0, 1], 11)
    assert class_quantiles(scores, labels, 2, 0.1) == pytest.approx([0.1, 11])
    assert class_quantiles(scores, labels, 2, 0.0).tolist() == [0.0, 10.0]


@pytest.mark.parametrize(("rare", "borrows"), [(0, True), (1, True), (4, True), (5, False)])
def test_a_rare_class_borrows_the_quantile_of_all(rare: int, borrows: bool) -> None:
    scores = np.r_[np.linspace(0, 1, 50), np.full(rare, 9.0)]
    labels = np.r_[np.zeros(50, int), np.full(rare, 1)]
    thresholds = class_quantiles(scores, labels, 2, 0.2)
    assert thresholds[0] == pytest.approx(np.quantile(scores[:50], 0.2))
    assert thresholds[1] == pytest.approx(np.quantile(scores, 0.2) if borrows else 9.0)


def test_of_one_class_the_copy_threshold_is_the_quantile_of_honest_distances() -> None:
    distances = np.random.default_rng(0).permutation(np.arange(1.0, 102.0))
    one = np.zeros(101, dtype=np.int64)
    assert copy_thresholds(distances, one, 1, 0.05) == pytest.approx([6.0])
    assert copy_thresholds(distances, one, 1, 0.0) == pytest.approx([1.0])
    assert copy_thresholds(distances * 0, one, 1, 0.5).tolist() == [0.0]


def test_copy_thresholds_follow_the_scale_of_each_class() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.gamma(9.0, size=(3, 200))
    scale = np.array([1.0, 1.0, 10.0])
    distances, labels = (drawn * scale[:, None]).ravel(), np.repeat([0, 1, 2], 200)
    found = copy_thresholds(distances, labels, 4, 0.05)
    assert found[2] / found[0] == pytest.approx(10, rel=0.1)
    below = (drawn * scale[:, None] < found[:3, None]).mean(axis=1)
    assert below == pytest.approx([0.05] * 3, abs=0.02)
    assert found[0] < found[3] < found[2]  # of a class without an image: that of all
