from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.batches import ClassSampler, to_images, to_tensor


def test_every_grey_level_survives_the_round_trip() -> None:
    images = np.arange(256 * 3, dtype=np.int64).reshape(2, 8, 16, 3).astype(np.uint8)
    tensor = to_tensor(images)
    assert tensor.shape == (2, 3, 8, 16)
    assert tensor.dtype == torch.float32
    assert (float(tensor.min()), float(tensor.max())) == (-1.0, 1.0)
    np.testing.assert_array_equal(to_images(tensor), images)
    # pixel by pixel, channel by channel
    assert float(tensor[1, 2, 3, 4]) == np.float32(images[1, 3, 4, 2]) / np.float32(127.5) - 1


def test_what_is_out_of_range_is_clamped() -> None:
    tensor = torch.tensor([-3.0, -1.001, 1.001, 40.0]).reshape(1, 1, 2, 2)
    assert to_images(tensor).ravel().tolist() == [0, 0, 255, 255]


def test_read_only_memory_maps_are_left_alone(tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.full((1, 2, 2, 1), 7, np.uint8))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    to_tensor(mapped).add_(1)
    assert (mapped == 7).all()


LABELS = np.repeat([0, 1, 4], [900, 90, 10])  # label 4: classes need not be contiguous
LABELS = np.random.default_rng(5).permutation(LABELS)


def test_classes_are_equally_likely_whatever_their_counts() -> None:
    sampler = ClassSampler(LABELS, np.random.default_rng(0))
    drawn = sampler.labels(30_000)
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [0, 1, 4]
    assert np.abs(counts - 10_000).max() < 5 * (30_000 * (1 / 3) * (2 / 3)) ** 0.5


def test_rows_are_of_the_wanted_label_and_all_equally_likely() -> None:
    sampler = ClassSampler(LABELS, np.random.default_rng(0))
    wanted = np.full(20_000, 4)
    rows = sampler.rows_of(wanted)
    values, counts = np.unique(rows, return_counts=True)
    assert values.tolist() == np.flatnonzero(LABELS == 4).tolist()
    assert np.abs(counts - 2000).max() < 5 * (20_000 * 0.1 * 0.9) ** 0.5


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(0, 2**32))
def test_every_row_has_the_label_asked_for(labels: list[int], seed: int) -> None:
    array = np.array(labels, np.int64)
    sampler = ClassSampler(array, np.random.default_rng(seed))
    drawn = sampler.labels(40)
    np.testing.assert_array_equal(array[sampler.rows_of(drawn)], drawn)


def test_the_same_generator_draws_the_same() -> None:
    one, two = (ClassSampler(LABELS, np.random.default_rng(3)) for _ in range(2))
    for _ in range(3):
        drawn = one.labels(50)
        np.testing.assert_array_equal(drawn, two.labels(50))
        np.testing.assert_array_equal(one.rows_of(drawn), two.rows_of(drawn))


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("asked", [1, 2, 5])
def test_classes_that_are_asked_about_are_half_at_least(balanced: bool, asked: int) -> None:
    """However many others there are, and the proportions among each part stay."""
    own, others = [60, 20], [10, 10, 10, 300, 70]
    counts = np.array([*own, *others])
    labels = np.repeat(np.arange(len(counts)), counts)
    sampler = ClassSampler(labels, np.random.default_rng(0), balanced=balanced, asked=asked)
    drawn = np.bincount(sampler.labels(40_000), minlength=len(counts)) / 40_000
    weight = np.ones(len(counts)) if balanced else counts
    share = max(0.5, weight[:asked].sum() / weight.sum())
    wanted = np.concatenate(
        [
            share * weight[:asked] / weight[:asked].sum(),
            (1 - share) * weight[asked:] / weight[asked:].sum(),
        ]
    )
    assert np.abs(drawn - wanted).max() < 5 * (0.25 / 40_000) ** 0.5


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(0, 2**32))
def test_what_is_set_apart_and_alone_is_drawn_as_ever(labels: list[int], seed: int) -> None:
    array = np.array(labels, np.int64)
    one, two = (
        ClassSampler(array, np.random.default_rng(seed), balanced=False, asked=asked)
        for asked in (None, 6)
    )
    np.testing.assert_array_equal(one.labels(40), two.labels(40))
