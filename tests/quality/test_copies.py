from __future__ import annotations

import numpy as np
import pytest

from tasks.contracts.image_set import ImageSet
from tasks.quality.copies import find_copies, hashes
from tasks.quality.neighbours import fewest_bits
from tests.contracts.tiny import shape_set
from tests.data.fake_sets import image_set, noise_set


def hash_distance(images: np.ndarray, train: np.ndarray) -> np.ndarray:
    return fewest_bits(hashes(images), hashes(train))


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (8, 3), (32, 1), (64, 3)])
def test_a_copy_is_no_bit_apart_and_noise_is_half_of_them(size: int, channels: int) -> None:
    train = noise_set(20, shape=(size, size, channels)).images
    assert hash_distance(train[[3, 7]], train).tolist() == [0, 0]
    fresh = noise_set(20, seed=1, shape=(size, size, channels)).images
    apart = hash_distance(fresh, train[:1])  # of one alone, not the nearest of 40
    assert apart.mean() == pytest.approx(32, abs=4)


def test_the_eye_sees_through_brightness_contrast_and_noise_and_pixels_do_not() -> None:
    train = noise_set(20, shape=(16, 16, 1)).images
    faint = (train[:5] * 0.4 + 90).astype(np.uint8)
    noisy = faint + np.random.default_rng(0).integers(0, 6, faint.shape, dtype=np.uint8)
    assert hash_distance(noisy, train).max() <= 6
    others = hash_distance(noise_set(20, seed=1, shape=(16, 16, 1)).images, train)
    assert others.min() > 6


def test_it_sees_no_mirrored_copy() -> None:
    train = noise_set(20, shape=(16, 16, 1)).images
    assert hash_distance(train[:5, :, ::-1], train).min() > 6


def test_no_images_have_no_distances() -> None:
    train = noise_set(2).images
    assert len(hash_distance(train[:0], train)) == 0


@pytest.fixture(scope="module")
def shown() -> ImageSet:
    return shape_set(40, size=8, seed=0)


def test_thresholds_let_honest_images_through(shown: ImageSet) -> None:
    """Held-out images are no copies: no more of them fall than the quantile says."""
    held_out, fresh = shape_set(60, size=8, seed=1), shape_set(60, size=8, seed=2)
    found = find_copies(held_out, held_out, shown, 0.05, 3)
    assert found["is_copy"].mean() <= 0.05
    assert found["is_duplicate"].mean() <= 0.05
    of_fresh = find_copies(fresh, held_out, shown, 0.05, 3)
    assert of_fresh["is_copy"].mean() <= 0.12
    assert of_fresh["is_duplicate"].mean() <= 0.12


def test_planted_copies_are_found_and_named() -> None:
    train, held_out, pool = (noise_set(20, seed=seed, shape=(16, 16, 1)) for seed in range(3))
    images = pool.images.copy()
    images[4] = train.images[11]
    images[9] = (train.images[17] * 0.5 + 60).astype(np.uint8)
    planted = image_set(images, list(pool.labels), pool.class_names)
    columns = find_copies(planted, held_out, train, 0.01, 2)
    found = np.flatnonzero(columns["is_copy"] | columns["is_duplicate"])
    assert {4, 9} <= set(found)
    assert len(found) <= 4  # chance throws out a few honest ones
    assert columns["is_copy"][4]
    assert columns["is_duplicate"][9]
    assert (columns["nearest_distance"][4], columns["hash_distance"][4]) == (0, 0)
    assert columns["nearest_real"][4] == train.manifest["image_id"][11]


def test_the_same_bytes_are_a_copy_even_where_held_out_images_are_copies(shown: ImageSet) -> None:
    found = find_copies(shown, shown, shown, 0.01, 3)
    assert (found["nearest_distance_threshold"] == 0).all()
    assert found["is_copy"].all()
    assert not found["is_duplicate"].any()


def test_honest_images_of_every_class_are_flagged_equally_often() -> None:
    """Images of class 0 lie close together, those of class 1 far apart."""
    rng = np.random.default_rng(0)

    def two_classes(each: int) -> ImageSet:
        spread = np.repeat([8.0, 50.0], each)[:, None, None, None]
        images = np.clip(128 + spread * rng.normal(size=(2 * each, 8, 8, 1)), 0, 255)
        return image_set(images.astype(np.uint8), np.repeat([0, 1], each), ["near", "far"])

    train, held_out, honest = two_classes(40), two_classes(60), two_classes(1500)
    found = find_copies(honest, held_out, train, 0.1, 2)
    near, far = (found["is_copy"][honest.labels == label].mean() for label in (0, 1))
    assert near == pytest.approx(0.1, abs=0.07)
    assert far == pytest.approx(0.1, abs=0.07)
    assert len(np.unique(found["nearest_distance_threshold"])) == 2
