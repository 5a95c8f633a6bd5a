from __future__ import annotations

import numpy as np
import pytest

from tasks.quality.memorisation import copy_threshold, nearest
from tests.contracts.tiny import shape_set
from tests.reference.nearest_loop import nearest_of


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (16, 3), (32, 1), (64, 3)])
def test_the_loop_over_all_pairs_agrees(size: int, channels: int) -> None:
    images = shape_set(2, size=size, channels=channels, seed=1).images
    train = shape_set(4, size=size, channels=channels, seed=2).images
    found = nearest(images, train)
    expected = [nearest_of(image, train) for image in images]
    np.testing.assert_allclose(found.distance, [distance for distance, _ in expected], rtol=1e-6)
    assert found.row.tolist() == [row for _, row in expected]


@pytest.mark.parametrize("size", [8, 32])
def test_a_copy_is_at_distance_zero(size: int) -> None:
    train = shape_set(10, size=size).images
    rows = np.array([3, 29, 3])
    found = nearest(train[rows], train)
    assert found.distance.tolist() == [0.0, 0.0, 0.0]
    assert found.row.tolist() == rows.tolist()


def test_distances_are_grey_levels() -> None:
    train = np.full((1, 8, 8, 3), 100, np.uint8)
    assert nearest(train + np.uint8(7), train).distance.tolist() == [7.0]


def test_noise_does_not_hide_a_copy_of_a_large_image() -> None:
    rng = np.random.default_rng(0)
    train = shape_set(20, size=64).images
    noisy = np.clip(train[:5] + rng.normal(0, 10, train[:5].shape), 0, 255).astype(np.uint8)
    found = nearest(noisy, train)
    assert found.row.tolist() == [0, 1, 2, 3, 4]
    others = nearest(shape_set(20, size=64, seed=9).images, train)
    assert found.distance.max() < others.distance.min()


def test_the_threshold_is_a_quantile_of_honest_distances() -> None:
    distances = np.random.default_rng(0).permutation(np.arange(101.0))
    assert copy_threshold(distances, 0.05) == 5.0
    assert copy_threshold(distances, 0.0) == 0.0
    assert (distances < copy_threshold(distances, 0.1)).mean() < 0.1
