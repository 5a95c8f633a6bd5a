"""Plain convolutional generator and discriminator, without normalisation layers.

Batch norm was measured to cost within-class diversity on few images, and makes logits depend
on the batch; see docs/log.md. The label enters both: concatenated to the latent in the
generator, projected in the discriminator (Miyato and Koyama 2018, arXiv:1802.05637, eq. 3).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SLOPE = 0.2
_SMALLEST = 4  # pixels of the coarsest feature map
_WIDEST = 4  # times the width at full resolution, where channels stop doubling


def _channels(image_size: int, width: int) -> list[int]:
    """Channels of each resolution, from image_size down to 4 px."""
    levels = int(math.log2(image_size // _SMALLEST)) + 1
    return [width * min(2**level, _WIDEST) for level in range(levels)]


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Convolution (3x3, or 4x4 that halves the size) with He initialisation, and leaky ReLU."""
    layer = nn.Conv2d(inputs, outputs, kernel_size=2 + stride, stride=stride, padding=1)
    nn.init.kaiming_normal_(layer.weight, a=_SLOPE)
    return nn.Sequential(layer, nn.LeakyReLU(_SLOPE))


class ConvGenerator(nn.Module):
    """Latent and label to image: dense layer to 4x4, then convolve, double, convolve each level."""

    def __init__(
        self, *, image_size: int, channels: int, classes: int, latent_dim: int, width: int
    ) -> None:
        super().__init__()
        widths = _channels(image_size, width)[::-1]
        self.latent_dim = latent_dim
        self.embed = nn.Embedding(classes, latent_dim)
        self.dense = nn.Linear(2 * latent_dim, widths[0] * _SMALLEST**2)
        self.levels = nn.Sequential(
            *(
                nn.Sequential(
                    _conv(inputs, inputs), nn.Upsample(scale_factor=2), _conv(inputs, outputs)
                )
                for inputs, outputs in itertools.pairwise(widths)
            )
        )
        self.to_image = nn.Conv2d(widths[-1], channels, kernel_size=3, padding=1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Latents ``[N, latent_dim]``, labels ``[N]`` to images ``[N, C, H, W]`` in -1..1."""
        latents = torch.cat([latents, self.embed(labels)], dim=1)
        x = F.leaky_relu(self.dense(latents), _SLOPE).view(len(latents), -1, _SMALLEST, _SMALLEST)
        return torch.tanh(self.to_image(self.levels(x)))


class ConvDiscriminator(nn.Module):
    """Image and label to one logit: halve and convolve each level, dense layer at 4x4."""

    def __init__(self, *, image_size: int, channels: int, classes: int, width: int) -> None:
        super().__init__()
        widths = _channels(image_size, width)
        self.from_image = _conv(channels, widths[0])
        self.levels = nn.Sequential(
            *(
                nn.Sequential(_conv(inputs, outputs, stride=2), _conv(outputs, outputs))
                for inputs, outputs in itertools.pairwise(widths)
            )
        )
        features = widths[-1]
        self.dense = nn.Linear(widths[-1] * _SMALLEST**2, features)
        self.logit = nn.Linear(features, 1)
        self.embed = nn.Embedding(classes, features)
        nn.init.normal_(self.embed.weight, std=1 / math.sqrt(features))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` in -1..1, labels ``[N]`` to logits ``[N]``, high for real."""
        x = self.levels(self.from_image(images))
        x = F.leaky_relu(self.dense(x.flatten(1)), _SLOPE)
        logits: Tensor = self.logit(x).squeeze(1) + (x * self.embed(labels)).sum(1)
        return logits
