"""Residual generator and discriminator without normalisation, after R3GAN.

Huang et al. 2024 (arXiv:2501.05441, section 3): no norm, resampling apart from convolution,
residual branches that start small (Fixup, Zhang et al. 2019, arXiv:1901.09321, section 3).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.gan.networks.conditioning import LabelledLatent
from tasks.gan.networks.conv import SLOPE, SMALLEST, level_widths
from tasks.gan.networks.spec import NetworkSpec


class ResidualBlock(nn.Module):
    """``x + branch(x)``: two 3x3 convolutions; `depth` blocks in a row keep the variance."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(self.first.weight, a=SLOPE)
        nn.init.kaiming_normal_(self.second.weight, a=SLOPE)
        with torch.no_grad():  # not Fixup's zero: then the first step would teach half the weights
            self.second.weight.mul_(1 / (2 * math.sqrt(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """``[N, channels, H, W]`` to the same shape."""
        branch: Tensor = self.second(F.leaky_relu(self.first(x), SLOPE))
        return x + branch


def _across(inputs: int, outputs: int) -> nn.Conv2d:
    """1x1 convolution from one width to another that keeps the variance: no activation before."""
    layer = nn.Conv2d(inputs, outputs, 1, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    return layer


class ResnetGenerator(nn.Module):
    """Latent and label to image: a residual block at each size, doubled by repetition between."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        widths = level_widths(spec)[::-1]
        self.latent_dim = spec.latent_dim
        self.entry = LabelledLatent(spec)
        self.dense = nn.Linear(self.entry.size, widths[0] * SMALLEST**2)
        nn.init.kaiming_normal_(self.dense.weight, nonlinearity="linear")
        self.first = ResidualBlock(widths[0], len(widths))
        self.levels = nn.Sequential(
            *(
                nn.Sequential(
                    _across(inputs, outputs),
                    nn.Upsample(scale_factor=2),
                    ResidualBlock(outputs, len(widths)),
                )
                for inputs, outputs in itertools.pairwise(widths)
            )
        )
        self.to_image = nn.Conv2d(widths[-1], spec.channels, 3, padding=1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Latents ``[N, latent_dim]``, labels ``[N]`` to images ``[N, C, H, W]`` in -1..1."""
        x = self.dense(self.entry(latents, labels))
        x = self.levels(self.first(x.reshape(len(x), -1, SMALLEST, SMALLEST)))
        return torch.tanh(self.to_image(F.leaky_relu(x, SLOPE)))


class ResnetTrunk(nn.Module):
    """Image to features: a residual block at each size, halved by averaging between."""

    def __init__(self, spec: NetworkSpec, channels: int) -> None:
        super().__init__()
        widths = level_widths(spec)
        self.features = widths[-1]
        self.from_image = nn.Conv2d(channels, widths[0], 3, padding=1)
        nn.init.kaiming_normal_(self.from_image.weight, nonlinearity="linear")
        self.levels = nn.Sequential(
            *(
                nn.Sequential(
                    ResidualBlock(inputs, len(widths)), nn.AvgPool2d(2), _across(inputs, outputs)
                )
                for inputs, outputs in itertools.pairwise(widths)
            )
        )
        self.last = ResidualBlock(widths[-1], len(widths))
        self.dense = nn.Linear(widths[-1] * SMALLEST**2, self.features)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[N, channels, H, W]`` to features ``[N, features]``."""
        x = F.leaky_relu(self.last(self.levels(self.from_image(images))), SLOPE)
        return F.leaky_relu(self.dense(x.flatten(1)), SLOPE)
