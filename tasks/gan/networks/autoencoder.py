"""A conditional variational autoencoder (Kingma and Welling 2014, arXiv:1312.6114).

`conv`'s generator is the decoder and `conv`'s trunk the encoder. Where the others have a
discriminator, it has its evidence lower bound: high for images like those it was trained on.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tasks.gan.networks.conv import ConvGenerator, ConvTrunk
from tasks.gan.networks.spec import NetworkSpec

_FIRST_LOG_SIGMA = -1.0  # near what is left of small images after a few steps
_LOWEST_LOG_SIGMA = -4.0  # under one grey level of 255: nothing finer is there to explain


class Encoder(nn.Module):
    """Image, with its label as one more channel, to the posterior of its latent."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.trunk = ConvTrunk(spec, spec.channels + 1)
        self.label = nn.Embedding(spec.classes, spec.image_size**2)
        self.posterior = nn.Linear(self.trunk.features, 2 * spec.latent_dim)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Images ``[N, C, H, W]``, labels ``[N]`` to mean and log variance ``[N, Z]``."""
        plane = self.label(labels).reshape(len(images), 1, *images.shape[2:])
        features = self.trunk(torch.cat([images, plane.to(images.dtype)], dim=1))
        mean, log_variance = self.posterior(features).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-10.0, 10.0)


class VaeScore(nn.Module):
    """How well the autoencoder explains an image under its label: what stands for realness.

    The noise of a pixel is Gaussian, of one learned width (Rybkin et al. 2021,
    arXiv:2006.13202, section 3), so that no weight between reconstruction and prior is set by
    hand.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.encoder = Encoder(spec)
        self.decoder: nn.Module = ConvGenerator(spec)
        self.log_sigma = nn.Parameter(torch.tensor(_FIRST_LOG_SIGMA))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` in -1..1, labels ``[N]`` to scores ``[N]``, high for real.

        The evidence lower bound a pixel, in nats, at the posterior's mean: no draw, so that an
        image has one score.
        """
        mean, log_variance = self.encoder(images, labels)
        return self.bound(images, labels, mean, divergence(mean, log_variance))

    def bound(self, images: Tensor, labels: Tensor, latents: Tensor, cost: Tensor) -> Tensor:
        """Log likelihood of images ``[N, C, H, W]`` from latents, less `cost` ``[N]``, a pixel.

        Kingma and Welling 2014, eq. 3, with one sample of the latent.
        """
        log_sigma = self.log_sigma.clamp(min=_LOWEST_LOG_SIGMA)
        error = (images.float() - self.decoder(latents, labels).float()) * torch.exp(-log_sigma)
        likelihood = -error.square().mean(dim=(1, 2, 3)) / 2 - log_sigma - math.log(2 * math.pi) / 2
        bound: Tensor = likelihood - cost / images[0].numel()
        return bound


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the posterior from the prior, ``[N]`` (appendix B)."""
    return (log_variance.exp() + mean.square() - 1 - log_variance).sum(dim=1) / 2
