from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.image_set import image_id
from tasks.data import pixel_stats as module
from tasks.data.pixel_stats import describe, pixel_stats
from tests.data.fake_sets import noise_set


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(
        st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])
    ),
    top=st.integers(0, 255),
    seed=st.integers(0, 99),
)
def test_agrees_with_numpy_image_by_image(shape, top, seed):
    images = np.random.default_rng(seed).integers(0, top + 1, shape, dtype=np.uint8)
    stats = pixel_stats(images)
    for row, image in zip(stats.itertuples(), images, strict=True):
        flat = image.reshape(-1, image.shape[2]).astype(np.float64)
        assert row.pixel_id == image_id(image)
        assert (row.pixel_min, row.pixel_max) == (image.min(), image.max())
        assert row.pixel_std == pytest.approx(flat.std(axis=0).max(), abs=1e-9)
        assert (row.height, row.width, row.channels) == image.shape


def test_chunks_change_nothing(monkeypatch):
    images = noise_set(5, shape=(4, 6, 3)).images
    whole = pixel_stats(images)
    monkeypatch.setattr(module, "_CHUNK_BYTES", 3 * 4 * 6 * 3)
    assert pixel_stats(images).equals(whole)


def test_flat_colour_is_blank_though_its_channels_differ():
    red = np.zeros((1, 4, 4, 3), dtype=np.uint8)
    red[..., 0] = 255
    assert pixel_stats(red)["pixel_std"].item() == 0.0


def test_brightest_large_image_does_not_overflow():
    images = np.full((1, 1024, 1024, 3), 255, dtype=np.uint8)
    images[0, 0, 0, 0] = 0
    stats = pixel_stats(images)
    assert stats["pixel_std"].item() == pytest.approx(images[..., 0].std())


def test_empty_set_has_the_same_columns():
    full, empty = pixel_stats(noise_set(2).images), pixel_stats(noise_set(2).images[:0])
    assert len(empty) == 0
    assert list(empty.columns) == list(full.columns)
    assert empty.dtypes.equals(full.dtypes)


def test_describe_numbers_rows_whatever_the_manifests_index():
    images = noise_set(3)
    images.manifest.index = images.manifest.index[::-1]
    frame = describe(images)
    assert frame["row"].tolist() == list(range(6))
    assert (frame["image_id"] == frame["pixel_id"]).all()
