"""Twins of planted kinds are found; honest images are left apart."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter

from tasks.data import twins
from tasks.data.decoding import to_pixels

SIZE = 32
Change = Callable[[Image.Image], Image.Image]
Pairs = set[tuple[int, int]]


def find_twins(images: np.ndarray, threshold: float) -> pd.DataFrame:
    return twins.find_twins(images, threshold, lambda share, text: None)


def scene(number: int) -> Image.Image:
    """A made-up photo, 64 px: blobs of light with a texture, another one for each number."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:64, :64]
    light = np.zeros((64, 64))
    for _ in range(14):
        cy, cx, r = rng.uniform(0, 64), rng.uniform(0, 64), rng.uniform(2, 9)
        light += rng.uniform(-1, 1) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * r**2))
    light = 128 + 60 * light + rng.normal(0, 3, light.shape)
    return Image.fromarray(light.clip(0, 255).astype(np.uint8))


def brighter(image: Image.Image) -> Image.Image:
    return image.point([min(255, int(1.2 * 255 * (level / 255) ** 0.8)) for level in range(256)])


def cut(image: Image.Image) -> Image.Image:
    return image.resize(image.size, Image.Resampling.LANCZOS, box=(1, 4, 60, 63))


def compressed(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    return Image.open(file)


def smaller(image: Image.Image) -> Image.Image:
    return image.resize((44, 44), Image.Resampling.BILINEAR)


def pixels(images: list[Image.Image], size: int = SIZE) -> np.ndarray:
    return np.stack([to_pixels(image, size=size, channels=1, fit="pad") for image in images])


def sought(images: list[Image.Image], change: Change, many: int) -> tuple[Pairs, Pairs]:
    """The pairs found where the first images have a twin each, and the pairs that these are."""
    found = find_twins(pixels(images + [change(image) for image in images[:many]]), 0.85)
    assert (found["correlation"] >= 0.85).all()
    pairs = set(zip(found["a"], found["b"], strict=True))
    return pairs, {(number, len(images) + number) for number in range(many)}


@pytest.mark.parametrize("change", [brighter, cut, compressed, smaller])
def test_a_planted_twin_is_found_and_nothing_else(change: Change) -> None:
    pairs, planted = sought([scene(number) for number in range(60)], change, 20)
    assert len(pairs & planted) >= 19
    assert not pairs - planted


def test_images_that_are_all_alike_are_not_joined() -> None:
    base = np.asarray(scene(0), float)
    rng = np.random.default_rng(0)
    alike = [
        Image.fromarray((base + rng.normal(0, 12, base.shape)).clip(0, 255).astype(np.uint8))
        for _ in range(60)
    ]
    found = find_twins(pixels(alike), 0.5)
    assert len(found) <= 1


def test_flat_images_have_no_twins() -> None:
    flat = [Image.new("L", (SIZE, SIZE), level) for level in range(0, 200, 10)]
    assert len(find_twins(pixels(flat), 0.85)) == 0


@pytest.mark.parametrize("number", [1, 2, 3])
def test_few_images(number: int) -> None:
    images = pixels([scene(0)] + [compressed(scene(0))] * (number - 1))
    found = find_twins(images, 0.85)
    assert len(found) == number * (number - 1) // 2


def test_how_many_are_compared_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images = pixels([scene(number) for number in range(30)] + [cut(scene(k)) for k in range(9)])
    whole = find_twins(images, 0.85)
    for name in ("_COMPARED", "_CHUNK"):
        monkeypatch.setattr(twins, name, 7)
    monkeypatch.setattr(twins, "_ALIKE", 100)
    assert len(whole) >= 9
    pd.testing.assert_frame_equal(find_twins(images, 0.85), whole)


def test_of_many_images_few_are_compared_and_twins_are_found_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[int] = []
    alike = twins._alike

    def counted(parts: np.ndarray, hashes: np.ndarray) -> np.ndarray:
        compared.append(parts.shape[1] * len(hashes))
        return alike(parts, hashes)

    monkeypatch.setattr(twins, "_alike", counted)
    monkeypatch.setattr(twins, "_ALL_COMPARED", 100)
    monkeypatch.setattr(twins, "_PROBED", 8)
    images = [scene(number) for number in range(500)]
    for number, change in enumerate((brighter, cut, compressed, smaller)):
        images += [change(image) for image in images[25 * number : 25 * (number + 1)]]
    found = find_twins(pixels(images), 0.85)
    assert sum(compared) < len(images) ** 2 / 3
    pairs = set(zip(found["a"], found["b"], strict=True))
    planted = {(number, 500 + number) for number in range(100)}
    assert len(pairs & planted) >= 95
    assert not pairs - planted


def test_all_cells_searched_are_all_images_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    images = pixels([scene(number) for number in range(60)] + [cut(scene(k)) for k in range(20)])
    whole = find_twins(images, 0.85)
    monkeypatch.setattr(twins, "_ALL_COMPARED", 0)
    assert len(whole) >= 19
    pd.testing.assert_frame_equal(find_twins(images, 0.85), whole)


@cache
def stroke(number: int) -> Image.Image:
    """A stroke of one of three shapes, 64 px, as by another hand for each number."""
    rng = np.random.default_rng(number)
    along = np.linspace(-1, 1, 5)
    shape = [0 * along, 0.6 * np.sin(3 * along), 1 - 1.5 * along**2][number % 3]
    knots = np.stack([shape + rng.normal(0, 0.16, 5), along + rng.normal(0, 0.16, 5)])
    x, y = 32 + 18 * CubicSpline(np.arange(5), knots, axis=1)(np.linspace(0, 4, 40))
    rows, columns = np.mgrid[:64, :64]
    far = ((columns[..., None] - x) ** 2 + (rows[..., None] - y) ** 2).min(axis=2) ** 0.5
    light = 255 * (rng.uniform(2, 4) - far).clip(0, 1)
    return Image.fromarray(gaussian_filter(light, 0.8).astype(np.uint8))


@pytest.mark.parametrize("change", [brighter, cut, compressed, smaller])
def test_strokes_that_are_alike_are_told_from_twins(change: Change) -> None:
    """As in MNIST, where crops and smaller copies were missed and honest digits joined."""
    pairs, planted = sought([stroke(number) for number in range(300)], change, 40)
    assert len(pairs & planted) >= 38
    assert len({row for pair in pairs - planted for row in pair}) <= 3


def test_images_in_bursts_are_joined() -> None:
    """Bursts of many frames among single images do not make twins usual."""
    images = [scene(number) for number in range(200)]
    images += [compressed(brighter(scene(k))) for k in (0, 1)] + [
        image.resize((size, size), Image.Resampling.BILINEAR)
        for image in images[:2]
        for size in range(40, 60, 3)
    ]
    found = find_twins(pixels(images), 0.85)
    joined = set(found["a"]) | set(found["b"])
    assert joined == {0, 1, *range(200, len(images))}


@pytest.mark.parametrize("side", [24, 32])
def test_a_crop_by_matrices_is_the_one_that_pillow_makes(side: int) -> None:
    rng = np.random.default_rng(0)
    grey = gaussian_filter(rng.uniform(0, 255, (3, side, side)), (0, 1.5, 1.5)).astype(np.float32)
    crops = np.array([[1, 0, 0], [0.9, 1.3, 0.4], [0.87, 0, 0.13 * side]], np.float32)
    for image, crop, (share, x, y) in zip(grey, twins._cropped(grey, crops), crops, strict=True):
        box = (x, y, x + share * side, y + share * side)
        one = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC, box=box)
        np.testing.assert_allclose(crop, np.asarray(one), atol=0.5)


def test_a_pair_is_followed_to_its_crop_and_sharpness() -> None:
    """From a first crop that is off, to the correlation that the crop itself would have."""
    side, share, x, y = SIZE, 0.9, 2.6, 0.7
    grey = gaussian_filter(
        np.random.default_rng(0).normal(0, 100, (20, side, side)), (0, 0.8, 0.8)
    ).astype(np.float32)
    part = twins._cropped(grey, np.array([share, x, y], np.float32))
    blurred = gaussian_filter(part, (0, 0.6, 0.6))
    others = twins._unit(twins._band(blurred))
    first = np.tile(twins._first_crops(side)[-3], (20, 1))
    followed = twins._followed(grey, others, first)
    before = (twins._unit(twins._band(twins._cropped(grey, first))) * others).sum(axis=1)
    assert (before < 0.95).all()
    assert (followed > 0.99).all()
