from __future__ import annotations

import pytest
import torch
from torch import nn

from tasks.gan.networks import NETWORKS
from tasks.gan.penalties import gradient_penalty, mode_seeking


@pytest.fixture
def discriminator() -> nn.Module:
    torch.manual_seed(0)
    network = NETWORKS["conv"].discriminator(image_size=8, channels=1, classes=2, width=4)
    return network.double()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand((5, 1, 8, 8), dtype=torch.double) * 2 - 1


LABELS = torch.tensor([0, 1, 1, 0, 1])


def test_it_is_the_squared_norm_of_finite_differences(
    discriminator: nn.Module, images: torch.Tensor
) -> None:
    images.requires_grad_(True)
    penalty = gradient_penalty(discriminator(images, LABELS), images).detach()
    step = 1e-6
    for i in (0, 3):
        total = 0.0
        for place in torch.cartesian_prod(torch.arange(8), torch.arange(8)):
            nudge = torch.zeros_like(images)
            nudge[i, 0, place[0], place[1]] = step
            with torch.no_grad():
                up = discriminator(images + nudge, LABELS)[i]
                down = discriminator(images - nudge, LABELS)[i]
            total += float((up - down) / (2 * step)) ** 2
        assert float(penalty[i]) == pytest.approx(total, rel=1e-4)


def test_one_sample_at_a_time_gives_the_same(
    discriminator: nn.Module, images: torch.Tensor
) -> None:
    images.requires_grad_(True)
    together = gradient_penalty(discriminator(images, LABELS), images)
    assert together.shape == (5,)
    for i in range(5):
        alone = images[i : i + 1].detach().requires_grad_(True)
        (expected,) = gradient_penalty(discriminator(alone, LABELS[i : i + 1]), alone)
        torch.testing.assert_close(together[i], expected)


def test_it_trains_the_weights(discriminator: nn.Module, images: torch.Tensor) -> None:
    images.requires_grad_(True)
    gradient_penalty(discriminator(images, LABELS), images).mean().backward()
    weight = discriminator.from_image[0].weight
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def test_mode_seeking_is_the_loop_over_pairs() -> None:
    images, latents = torch.randn(6, 3, 4, 4), torch.randn(6, 5)
    expected = []
    for i in range(3):
        far = (images[i] - images[i + 3]).abs().mean()
        apart = (latents[i] - latents[i + 3]).abs().mean()
        expected.append(1 / (far / apart + 1e-5))
    torch.testing.assert_close(mode_seeking(images, latents), torch.stack(expected))


def test_mode_seeking_drives_equal_images_apart() -> None:
    same = torch.zeros(2, 1, 4, 4)
    apart = same.clone()
    apart[1] += 0.5
    latents = torch.randn(2, 5)
    collapsed, diverse = mode_seeking(same, latents), mode_seeking(apart, latents)
    assert torch.isfinite(collapsed).all()
    assert (collapsed > 100 * diverse).all()
