"""Twins of planted kinds are found; honest images are left apart."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from tasks.data import twins
from tasks.data.decoding import to_pixels
from tasks.data.twins import find_twins

SIZE = 32


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


@pytest.mark.parametrize("change", [brighter, cut, compressed, smaller])
def test_a_planted_twin_is_found_and_nothing_else(change) -> None:
    images = [scene(number) for number in range(60)]
    images += [change(image) for image in images[:20]]
    found = find_twins(pixels(images), 0.85)
    pairs = set(zip(found["a"], found["b"], strict=True))
    planted = {(number, 60 + number) for number in range(20)}
    assert len(pairs & planted) >= 19
    assert not pairs - planted
    assert (found["correlation"] >= 0.85).all()


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


@pytest.mark.parametrize("side", [24, 32])
def test_a_crop_by_matrices_is_the_one_that_is_resized_and_blurred(side: int) -> None:
    grey = np.random.default_rng(0).uniform(0, 255, (3, side, side)).astype(np.float32)
    (crops,) = twins._bands(grey, [0.9])
    place = 0.1 * side / 3
    box = (2 * place, place, 2 * place + 0.9 * side, place + 0.9 * side)
    one = Image.fromarray(grey[1]).resize((side, side), Image.Resampling.BILINEAR, box=box)
    fine, coarse = (gaussian_filter(np.asarray(one), blur * side / 32) for blur in (0.7, 2.0))
    assert crops.shape == (3, 16, side, side)
    np.testing.assert_allclose(crops[1, 4 + 2], fine - coarse, atol=1e-3)
