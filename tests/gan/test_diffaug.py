from __future__ import annotations

import itertools
import typing

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from tasks.contracts.params.train_gan import Policy
from tasks.gan.diffaug import POLICIES, diffaug
from tasks.gan.draws import Draws
from tests.reference import gan_diffaug as slow

N, SIZE = 12, 16
PAD = SIZE // 8


def seeded(seed: int = 0) -> Draws:
    return Draws(Generator().manual_seed(seed))


def images(n: int = N, channels: int = 3) -> Tensor:
    random = Generator().manual_seed(99)
    return torch.rand((n, channels, SIZE, SIZE), generator=random) * 2 - 1


def test_every_policy_of_the_params_is_there() -> None:
    assert set(POLICIES) == set(typing.get_args(Policy))


def test_translation_is_the_slow_one() -> None:
    drawn = (seeded().uniform(N, 2) * (2 * PAD + 1)).floor().long()
    expected = slow.translation(images().numpy(), *(PAD - drawn).T.tolist())
    np.testing.assert_array_equal(POLICIES["translation"](images(), seeded()).numpy(), expected)


class Highest(Draws):
    """Draws the largest number below 1, which must not be rounded up to it."""

    def uniform(self, n: int, *shape: int) -> Tensor:
        return torch.full((n, *shape), 1 - 2**-24)


@pytest.mark.parametrize("size", [8, 16, 32, 128])
def test_the_highest_draw_moves_as_far_as_allowed_and_no_farther(size: int) -> None:
    dot = torch.full((1, 1, size, size), -1.0)
    dot[..., size // 2, size // 2] = 1.0
    moved = POLICIES["translation"](dot, Highest(Generator()))
    assert (moved[0, 0] == 1).nonzero().tolist() == [[size // 2 - size // 8] * 2]


def test_cutout_is_the_slow_one() -> None:
    centres = seeded().uniform(N, 2).T
    expected = slow.cutout(images().numpy(), *centres.tolist())
    np.testing.assert_array_equal(POLICIES["cutout"](images(), seeded()).numpy(), expected)


def test_color_is_the_slow_one() -> None:
    drawn = seeded().uniform(N, 3).T.double().numpy()
    expected = slow.color(images().double().numpy(), *drawn)
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


def test_policies_apply_in_order_from_one_stream() -> None:
    stream = seeded()
    expected = images()
    for name in ("translation", "cutout"):
        expected = POLICIES[name](expected, stream)
        stream.uniform(N, 1, 1, 1)  # of the probability
    assert torch.equal(diffaug(images(), ["translation", "cutout"], seeded()), expected)
    assert torch.equal(diffaug(images(), [], seeded()), images())


@pytest.mark.parametrize("name", POLICIES)
def test_a_probability_chooses_whole_images(name: str) -> None:
    n = 2000
    before = images(1).expand(n, -1, -1, -1)
    always = diffaug(before, [name], seeded())
    some = diffaug(before, [name], seeded(), torch.tensor(0.3))
    kept = (some == before).flatten(1).all(1)
    changed = (some == always).flatten(1).all(1)
    assert (kept | changed).all()
    unmoved = (always == before).flatten(1).all(1).float().mean()  # a shift by nothing
    expected = 0.3 * (1 - unmoved)
    assert float((~kept).float().mean()) == pytest.approx(float(expected), abs=0.04)
    assert torch.equal(diffaug(before, [name], seeded(), 0.0), before)


def test_each_policy_is_chosen_for_itself() -> None:
    n = 2000
    grey = torch.full((n, 1, SIZE, SIZE), 0.5)
    out = diffaug(grey, ["cutout", "color"], seeded(), 0.5)
    holed = (out != out[:, :, :1, :1]).flatten(1).any(1)
    coloured = ((out != 0.5) & (out != 0.0)).flatten(1).any(1)
    for both in (holed & coloured, holed & ~coloured, ~holed & coloured, ~holed & ~coloured):
        assert 0.15 < float(both.float().mean()) < 0.35


def test_the_stream_goes_on_alike_at_every_probability() -> None:
    after = []
    for probability in (0.0, 0.4, 1.0):
        stream = seeded()
        diffaug(images(), list(POLICIES), stream, probability)
        after.append(stream.uniform(3))
    assert torch.equal(after[0], after[1])
    assert torch.equal(after[0], after[2])


def test_two_processes_augment_what_one_would() -> None:
    whole = diffaug(images(), list(POLICIES), seeded(), 0.5)
    parts = [
        diffaug(half, list(POLICIES), Draws(Generator().manual_seed(0), rank, 2), 0.5)
        for rank, half in enumerate(images().chunk(2))
    ]
    assert torch.equal(torch.cat(parts), whole)
