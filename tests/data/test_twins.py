from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from tasks.data.twins import BLURRED, SHARP, SMALLEST, find_twins

THRESHOLD = 0.984


def scenes(count: int, size: int = 32, seed: int = 0) -> np.ndarray:
    """Soft random pictures, uint8 [N, size, size, 3], no two alike."""
    rng = np.random.default_rng(seed)
    light, colour = rng.normal(size=(count, size, size, 1)), rng.normal(size=(count, size, size, 3))
    noise = gaussian_filter(light + 0.2 * colour, (0, size / 16, size / 16, 0))
    low, high = noise.min(axis=(1, 2, 3), keepdims=True), noise.max(axis=(1, 2, 3), keepdims=True)
    return np.rint(40 + 160 * (noise - low) / (high - low)).astype(np.uint8)


def darker(image: np.ndarray) -> np.ndarray:
    return np.rint(image * 0.6 + 8).astype(np.uint8)


def compressed(image: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=40)
    return np.asarray(Image.open(stream))


def resized(image: np.ndarray) -> np.ndarray:
    small = Image.fromarray(image).resize((18, 18), Image.Resampling.BICUBIC)
    return np.asarray(small.resize((32, 32), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("change", [darker, compressed, resized])
def test_the_same_scene_is_found_and_no_other(change) -> None:
    images = scenes(200)
    both = np.concatenate([images, [change(image) for image in images[:50]]])
    pairs = find_twins(both, THRESHOLD)
    assert sorted(zip(pairs["a"], pairs["b"], strict=True)) == [
        (row, 200 + row) for row in range(50)
    ]
    assert pairs["correlation"].between(0.98, 1.0).all()
    assert set(pairs["reason"]) <= {SHARP, BLURRED}


def test_lost_detail_is_found_by_the_blurred_picture() -> None:
    plain = scenes(20)
    squares = 15 * (-1) ** np.indices((32, 32)).sum(axis=0)
    woven = (plain + squares[:, :, np.newaxis]).astype(np.uint8)
    pairs = find_twins(np.concatenate([plain, woven]), THRESHOLD)
    assert set(pairs["reason"]) == {BLURRED}
    assert (pairs["b"] - pairs["a"] == 20).all()
    assert len(pairs) == 20


def test_many_exposures_of_one_scene_hang_together() -> None:
    scene = scenes(1)[0]
    series = [np.rint(scene * gain).astype(np.uint8) for gain in np.linspace(0.5, 1.2, 12)]
    pairs = find_twins(np.stack([*series, *scenes(50, seed=2)]), THRESHOLD)
    reached = {0}
    for _ in range(12):
        reached |= {b for a, b in zip(pairs["a"], pairs["b"], strict=True) if a in reached}
        reached |= {a for a, b in zip(pairs["a"], pairs["b"], strict=True) if b in reached}
    assert reached == set(range(12))


def test_none_is_sought_where_pixels_are_too_few_or_none_is_wanted() -> None:
    tiny = scenes(5, size=SMALLEST // 2)
    large = scenes(5)
    twice = np.concatenate([large, large + 1])
    assert len(find_twins(np.concatenate([tiny, tiny + 1]), THRESHOLD)) == 0
    assert len(find_twins(twice, None)) == 0
    assert len(find_twins(twice, THRESHOLD)) == 5


def test_blank_and_single_images_are_no_twins() -> None:
    levels = np.arange(4, dtype=np.uint8).reshape(-1, 1, 1, 1)
    blank = levels * np.ones((1, 16, 16, 1), np.uint8)
    assert len(find_twins(blank, THRESHOLD)) == 0
    assert len(find_twins(blank[:1], THRESHOLD)) == 0


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images = scenes(60)
    both = np.concatenate([images, [darker(image) for image in images]])
    whole = find_twins(both, THRESHOLD)
    monkeypatch.setattr("tasks.data.twins._CHUNK", 7)
    assert find_twins(both, THRESHOLD).equals(whole)
