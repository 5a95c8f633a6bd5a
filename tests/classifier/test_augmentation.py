from __future__ import annotations

import tracemalloc

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import adjust_saturation, affine

from tasks.classifier.augmentation import Augmentation, _recoloured, classical
from tasks.classifier.examples import Examples
from tasks.data.batches import to_images, to_tensor
from tests.data.fake_sets import image_set, noise_set

SIZE = 32


def fitted(images: Tensor, *, flip: bool = False) -> Augmentation:
    """The augmentation for a training set [n, C, H, H] in -1..1."""
    return classical(Examples.of(image_set(to_images(images), [0] * len(images), ["a"])), flip=flip)


def augmented(images: Tensor, *, flip: bool = False, seed: int = 0) -> Tensor:
    augment = fitted(images, flip=flip)
    torch.manual_seed(seed)
    return augment(images)


def disc(n: int, radius: float = 9.0) -> Tensor:
    """A white disc in the middle of black: [n, 1, SIZE, SIZE] in -1..1."""
    axis = torch.arange(SIZE) - (SIZE - 1) / 2
    inside = axis[:, None] ** 2 + axis[None, :] ** 2 < radius**2
    return torch.where(inside, 1.0, -1.0).expand(n, 1, SIZE, SIZE)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("n", [1, 8, 19])
@pytest.mark.parametrize("size", [8, 32])
def test_shape_type_and_range_stay(channels: int, n: int, size: int) -> None:
    images = torch.rand(n, channels, size, size) * 2 - 1
    before = images.clone()
    out = augmented(images, flip=True)
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert float(out.abs().max()) <= 1
    assert torch.equal(images, before)
    assert not torch.equal(out, images)


def test_the_same_seed_draws_the_same() -> None:
    images = torch.rand(9, 3, SIZE, SIZE) * 2 - 1
    assert torch.equal(augmented(images, seed=3), augmented(images, seed=3))
    assert not torch.equal(augmented(images, seed=3), augmented(images, seed=4))


def test_a_shape_stays_where_and_what_it_is() -> None:
    images = disc(8 * 60)
    inside = augmented(images) > 0  # half way to white, whatever the brightness
    original = images > 0
    both, either = (inside & original).flatten(1).sum(1), (inside | original).flatten(1).sum(1)
    assert (both / either > 0.35).all()
    assert (both / either).mean() > 0.65
    place = torch.arange(SIZE) - (SIZE - 1) / 2
    area = inside.sum(dim=(1, 2, 3))
    for axis in (2, 3):
        shift = (inside.sum(dim=(1, 5 - axis)) * place).sum(1) / area
        assert float(shift.abs().max()) <= 0.08 * SIZE + SIZE // 16 + 1
    growth = area / original.sum(dim=(1, 2, 3))
    assert float(growth.min()) > 0.9**2 * 0.9
    assert float(growth.max()) < 1.1**2 * 1.1


def test_every_image_of_a_batch_has_a_draw_of_its_own() -> None:
    out = augmented(disc(64))
    assert len(torch.unique(out.flatten(1), dim=0)) == 64


@pytest.mark.parametrize("draw", range(5))
def test_one_image_moves_as_torchvision_would_move_it(draw: int) -> None:
    """The draws of an image, handed to torchvision's affine: the slow way, an image a call."""
    torch.manual_seed(100 + draw)
    image = torch.rand(1, 1, SIZE, SIZE)
    augment = fitted(torch.full((1, 1, SIZE, SIZE), -1.0))  # a ground of 0
    torch.manual_seed(draw)
    ours = augment.moved(image)
    torch.manual_seed(draw)
    angle, scale = ((torch.rand(1) * 2 - 1) * most for most in (12.0, 0.1))
    pixels = torch.randint(-(SIZE // 16), SIZE // 16 + 1, (1, 2))[0]
    shift = [float((torch.rand(1) * 2 - 1) * 0.08 * SIZE + pixel) for pixel in pixels]
    theirs = affine(
        image, float(-angle), shift, float(1 + scale), [0.0], InterpolationMode.BILINEAR
    )
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_a_turned_hue_keeps_the_light() -> None:
    torch.manual_seed(0)
    images = torch.rand(200, 3, 4, 4) * 0.4 + 0.3  # far from the ends, so nothing is cut off
    grey = adjust_saturation(images, 0.0)[:, :1]
    lights = adjust_saturation(_recoloured(images), 0.0)[:, :1]
    # what brightness and contrast do to the grey picture is one line for each image
    for before, after in zip(grey.flatten(1), lights.flatten(1), strict=True):
        slope = (
            torch.dot(before - before.mean(), after - after.mean())
            / before.var(correction=0)
            / len(before)
        )
        line = after.mean() + slope * (before - before.mean())
        torch.testing.assert_close(after, line, atol=5e-3, rtol=0)


def sides(*, flip: bool) -> list[bool]:
    """Whether the bright half is still on the left, in many draws."""
    images = torch.full((8 * 40, 1, SIZE, SIZE), -1.0)
    images[..., : SIZE // 2] = 1.0
    out = augmented(images, flip=flip)
    middle = slice(SIZE // 4, -SIZE // 4)
    left, right = out[:, :, middle, 6], out[:, :, middle, -7]
    return (left.mean(dim=(1, 2)) > right.mean(dim=(1, 2))).tolist()


def test_mirrored_only_when_asked() -> None:
    assert all(sides(flip=False))
    mirrored = 1 - sum(sides(flip=True)) / (8 * 40)
    assert 0.2 < mirrored < 0.8


def test_hue_varies_in_colour_images_a_little() -> None:
    red = torch.full((8 * 40, 3, SIZE, SIZE), -1.0)
    red[:, 0] = 0.6
    out = augmented(red)[:, :, SIZE // 2, SIZE // 2]
    green_blue = (out[:, 1] - out[:, 2]).abs()  # only a turned hue parts these two
    assert float(green_blue.max()) > 0.1
    assert (out[:, 0] > out[:, 1:].amax(1)).all()  # but red stays red


@pytest.mark.parametrize("colour", [(0.2,), (0.2, -0.4, 0.7)])
def test_what_a_shift_uncovers_has_the_border_colour(colour: tuple[float, ...]) -> None:
    ground = torch.tensor(colour)[:, None, None].expand(-1, SIZE, SIZE)
    images = ground.repeat(80, 1, 1, 1)
    images[:, :, 12:20, 12:20] = 1.0
    images = to_tensor(to_images(images))
    moved = fitted(images).moved(images / 2 + 0.5)
    away = torch.ones(SIZE, SIZE, dtype=torch.bool)
    away[5:-5, 5:-5] = False
    wanted = (images[0, :, :1, :1] / 2 + 0.5).expand(-1, SIZE, SIZE)[:, away].expand(80, -1, -1)
    torch.testing.assert_close(moved[:, :, away], wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 150])
def test_the_border_colour_is_the_median_to_the_bit(channels: int, count: int) -> None:
    images = noise_set(count, shape=(8, 8, channels), seed=count)
    held = to_tensor(images.images)
    border = torch.cat([held[:, :, 0], held[:, :, -1]], dim=2).transpose(0, 1).flatten(1)
    wanted = border.median(dim=1).values / 2 + 0.5
    assert torch.equal(classical(Examples.of(images), flip=False).ground[:, 0, 0], wanted)


def test_the_border_colour_takes_no_copy_of_the_images() -> None:
    images = Examples.of(noise_set(1_500, shape=(32, 32, 1)))  # 3 MB
    tracemalloc.start()
    classical(images, flip=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.5 * images.sources[0].nbytes


def test_black_beside_a_coloured_ground_stays_finite() -> None:
    # black and the corners of the cube of colours have no hue to turn
    torch.manual_seed(0)
    images = torch.zeros(64, 3, 16, 16)  # black, where hue is undefined
    images[:, :, [0, -1]] = torch.tensor([37.0, 91.0, 201.0])[:, None, None]  # the ground
    images = images / 127.5 - 1
    augment = fitted(images)
    for _ in range(60):
        assert augment(images).isfinite().all()
