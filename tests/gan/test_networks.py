from __future__ import annotations

import pytest
import torch
from torch import nn

from tasks.gan.networks import NETWORKS

SIZES = [8, 16, 32, 64]


def pair(name: str, size: int, channels: int) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    shape = {"image_size": size, "channels": channels, "classes": 3, "width": 4}
    build = NETWORKS[name]
    return build.generator(**shape, latent_dim=5), build.discriminator(**shape)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range(name: str, size: int, channels: int) -> None:
    generator, discriminator = pair(name, size, channels)
    labels = torch.tensor([0, 1, 2, 2])
    images = generator(100 * torch.randn(4, 5), labels).detach()
    assert images.shape == (4, channels, size, size)
    assert float(images.abs().max()) <= 1
    logits = discriminator(images, labels)
    assert logits.shape == (4,)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", SIZES)
def test_neither_depends_on_the_batch(name: str, size: int) -> None:
    generator, discriminator = pair(name, size, 3)
    for network in (generator, discriminator):
        network.train()  # scores must not differ between training and judging either
    latents, labels = torch.randn(7, 5), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    images = generator(latents, labels).detach()
    logits = discriminator(images, labels)
    for i in range(7):
        one = slice(i, i + 1)
        alone = generator(latents[one], labels[one])
        torch.testing.assert_close(alone, images[one], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            discriminator(images[one], labels[one]), logits[one], atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_the_label_matters_to_both(name: str) -> None:
    generator, discriminator = pair(name, 8, 1)
    latents = torch.randn(1, 5).expand(3, -1)
    images = generator(latents, torch.arange(3))
    assert len(torch.unique(images.flatten(1), dim=0)) == 3
    logits = discriminator(images[:1].expand(3, -1, -1, -1), torch.arange(3))
    assert len(torch.unique(logits)) == 3


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", SIZES)
def test_every_weight_learns_and_every_pixel_counts(name: str, size: int) -> None:
    generator, discriminator = pair(name, size, 3)
    labels = torch.arange(3).repeat(3)
    images = generator(torch.randn(9, 5), labels)
    images.retain_grad()
    discriminator(images, labels).sum().backward()
    for network in (generator, discriminator):
        for weight, parameter in network.named_parameters():
            assert parameter.grad is not None, weight
            assert parameter.grad.abs().sum() > 0, weight
    assert images.grad is not None
    assert (images.grad.abs().sum(dim=(0, 1)) > 0).all()
