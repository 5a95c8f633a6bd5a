from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from tasks.gan.diffaug import POLICIES, diffaug
from tests.reference import gan_diffaug as slow

N, SIZE = 12, 16
PAD = SIZE // 8


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def images(n: int = N, channels: int = 3) -> Tensor:
    return torch.rand((n, channels, SIZE, SIZE), generator=seeded(99)) * 2 - 1


def test_translation_is_the_slow_one() -> None:
    draws = torch.randint(0, 2 * PAD + 1, (2, N, 1), generator=seeded()).squeeze(2)
    expected = slow.translation(images().numpy(), *(PAD - draws).tolist())
    np.testing.assert_array_equal(POLICIES["translation"](images(), seeded()).numpy(), expected)


def test_cutout_is_the_slow_one() -> None:
    draws = torch.rand((2, N, 1), generator=seeded()).squeeze(2)
    expected = slow.cutout(images().numpy(), *draws.tolist())
    np.testing.assert_array_equal(POLICIES["cutout"](images(), seeded()).numpy(), expected)


def test_color_is_the_slow_one() -> None:
    draws = torch.rand((3, N, 1, 1, 1), generator=seeded()).flatten(1).numpy()
    expected = slow.color(images().double().numpy(), *draws)
    np.testing.assert_allclose(POLICIES["color"](images(), seeded()).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_type_stay(name: str, channels: int) -> None:
    out = POLICIES[name](images(channels=channels), seeded())
    assert out.shape == (N, channels, SIZE, SIZE)
    assert out.dtype == torch.float32


@pytest.mark.parametrize("name", POLICIES)
def test_every_sample_has_its_own_draw(name: str) -> None:
    alike = images(1).expand(N, -1, -1, -1)
    out = POLICIES[name](alike, seeded())
    assert len(torch.unique(out.flatten(1), dim=0)) > N // 2


@pytest.mark.parametrize("name", POLICIES)
def test_a_sample_does_not_feel_its_neighbours(name: str) -> None:
    before = POLICIES[name](images(), seeded())
    changed = images()
    changed[3] = -changed[3]
    after = POLICIES[name](changed, seeded())
    same = [bool((a == b).all()) for a, b in zip(before, after, strict=True)]
    assert same == [i != 3 for i in range(N)]


@pytest.mark.parametrize("name", POLICIES)
def test_gradients_flow_to_the_image(name: str) -> None:
    small = images(2)[..., :8, :8].double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: POLICIES[name](x, seeded()), small)
    (gradient,) = torch.autograd.grad(POLICIES[name](small, seeded()).square().sum(), small)
    assert (gradient.flatten(1).abs().sum(1) > 0).all()


def test_translation_only_moves_evenly_in_every_direction() -> None:
    n = 3000
    dot = torch.full((n, 1, SIZE, SIZE), -1.0)
    dot[:, :, SIZE // 2, SIZE // 2] = 1.0
    moved = POLICIES["translation"](dot, seeded())
    assert torch.equal(moved.flatten(1).sum(1), dot.flatten(1).sum(1))
    places = (moved[:, 0] == 1).nonzero()[:, 1:] - SIZE // 2
    offsets = range(-PAD, PAD + 1)
    expected = n / len(offsets) ** 2
    for down, right in itertools.product(offsets, offsets):
        count = int(((places[:, 0] == down) & (places[:, 1] == right)).sum())
        assert abs(count - expected) < 5 * expected**0.5


def test_cutout_blanks_up_to_half_a_side() -> None:
    holes = POLICIES["cutout"](torch.ones(500, 1, SIZE, SIZE), seeded()) == 0
    area = holes.flatten(1).sum(1)
    assert int(area.max()) <= (SIZE // 2) ** 2
    assert int(area.min()) >= (SIZE // 4) ** 2  # a hole's centre lies in the image
    assert (area.float() / SIZE**2).mean() > 0.15
    assert holes.any(0).all()  # every place is hit sometimes


def test_colour_keeps_a_grey_image_grey() -> None:
    grey = images(channels=1).expand(-1, 3, -1, -1)
    out = POLICIES["color"](grey, seeded())
    torch.testing.assert_close(out[:, 0], out[:, 1])
    torch.testing.assert_close(out[:, 0], out[:, 2])


def test_policies_apply_in_order_from_one_generator() -> None:
    generator = seeded()
    expected = POLICIES["cutout"](POLICIES["translation"](images(), generator), generator)
    assert torch.equal(diffaug(images(), ["translation", "cutout"], seeded()), expected)
    assert torch.equal(diffaug(images(), [], seeded()), images())
