from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.gan.networks import build_discriminator, build_generator
from tasks.gan.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from tests.gan.tiny_networks import tiny_spec

SPEC = tiny_spec("progressive", image_size=32)  # four sizes, an eighth of training each
LABELS = torch.arange(4) % 3


@pytest.fixture
def pair() -> tuple[ProgressiveGenerator, ProgressiveDiscriminator]:
    torch.manual_seed(0)
    generator, discriminator = build_generator(SPEC), build_discriminator(SPEC)
    assert isinstance(generator, ProgressiveGenerator)
    assert isinstance(discriminator, ProgressiveDiscriminator)
    return generator, discriminator


def reduced(images: Tensor, size: int) -> Tensor:
    """Images ``[N, C, 32, 32]`` with nothing finer than `size` pixels, at full size."""
    return F.interpolate(F.adaptive_avg_pool2d(images, size), size=(32, 32))


@pytest.mark.parametrize(
    ("done", "stage", "faded"),
    [
        (0.0, 0, 1.0),
        (0.124, 0, 1.0),
        (0.125, 1, 0.0),
        (0.125 + 0.125 / 4, 1, 0.5),
        (0.125 + 0.125 / 2, 1, 1.0),
        (0.249, 1, 1.0),
        (0.250, 2, 0.0),
        (0.375, 3, 0.0),
        (0.375 + 0.125 / 4, 3, 0.5),
        (0.5, 3, 1.0),
        (1.0, 3, 1.0),
    ],
)
def test_sizes_come_in_equal_shares_of_the_first_half(
    pair: tuple[ProgressiveGenerator, ProgressiveDiscriminator],
    done: float,
    stage: int,
    faded: float,
) -> None:
    for network in pair:
        network.set_progress(done)
    for part in (pair[0], pair[1].trunk):
        newest, alpha = part.stage()
        assert newest == stage
        assert alpha == pytest.approx(faded, abs=1e-5)


@pytest.mark.parametrize(("done", "size"), [(0.0, 4), (0.2, 8), (0.32, 16), (0.6, 32)])
def test_images_have_no_finer_detail_than_the_present_size(
    pair: tuple[ProgressiveGenerator, ProgressiveDiscriminator], done: float, size: int
) -> None:
    generator, discriminator = pair
    for network in pair:
        network.set_progress(done)
    images = generator(torch.randn(4, 5), LABELS)
    torch.testing.assert_close(images, reduced(images, size))
    if size > 4:
        assert not torch.allclose(images, reduced(images, size // 2))
    # real images keep their detail, but the discriminator does not see it
    real = torch.rand(4, 1, 32, 32) * 2 - 1
    torch.testing.assert_close(
        discriminator(reduced(real, size), LABELS), discriminator(real, LABELS)
    )


@pytest.mark.parametrize("arrives", [0.125, 0.25, 0.375])
def test_a_new_size_changes_nothing_at_the_moment_it_comes(
    pair: tuple[ProgressiveGenerator, ProgressiveDiscriminator], arrives: float
) -> None:
    generator, discriminator = pair
    latents, real = torch.randn(4, 5), torch.rand(4, 1, 32, 32) * 2 - 1
    seen = []
    for done in (arrives - 1e-4, arrives + 1e-6):
        for network in pair:
            network.set_progress(done)
        seen.append((generator(latents, LABELS).detach(), discriminator(real, LABELS).detach()))
    for before, after in zip(*seen, strict=True):
        # a size is averaged after tanh and blended before it, hence not to the last digit
        torch.testing.assert_close(before, after, atol=1e-3, rtol=1e-3)


def test_before_it_comes_a_size_learns_nothing(
    pair: tuple[ProgressiveGenerator, ProgressiveDiscriminator],
) -> None:
    generator, discriminator = pair
    discriminator(generator(torch.randn(4, 5), LABELS), LABELS).sum().backward()
    finest: list[nn.Module] = [generator.levels[-1], discriminator.trunk.levels[-1]]
    assert all(p.grad is None for part in finest for p in part.parameters())


def test_weights_that_are_loaded_or_copied_know_how_far_they_grew(
    pair: tuple[ProgressiveGenerator, ProgressiveDiscriminator],
) -> None:
    for network, fresh in zip(
        pair, (build_generator(SPEC), build_discriminator(SPEC)), strict=True
    ):
        network.set_progress(0.3)
        fresh.load_state_dict(network.state_dict())
        images = torch.rand(4, 1, 32, 32)
        given = torch.randn(4, 5) if network is pair[0] else images
        assert torch.equal(fresh(given, LABELS), network(given, LABELS))
        assert torch.equal(copy.deepcopy(network)(given, LABELS), network(given, LABELS))
