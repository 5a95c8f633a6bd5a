"""Plain convolutional generator and discriminator, without normalisation layers.

Batch norm was measured to cost within-class diversity on few images, and makes logits depend
on the batch; see docs/log.md.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.gan.networks.conditioning import LabelledLatent
from tasks.gan.networks.spec import NetworkSpec

SLOPE = 0.2  # of every leaky ReLU
SMALLEST = 4  # pixels of the coarsest feature map
_WIDEST = 4  # times the width at full resolution, where channels stop doubling


def level_widths(spec: NetworkSpec) -> list[int]:
    """Channels of each resolution, from the image's own down to 4 px."""
    levels = int(math.log2(spec.image_size // SMALLEST)) + 1
    return [spec.width * min(2**level, _WIDEST) for level in range(levels)]


class Doubled(nn.Conv2d):
    """3x3 convolution of an image doubled by repetition, as one transposed convolution.

    Each output pixel sees only 2x2 different inputs, so that less than half of the products of
    repeating first are left (Karras et al. 2018, arXiv:1710.10196, "fused" scaling in its code).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, 2H, 2W]``."""
        kernel = F.pad(self.weight.flip(2, 3).transpose(0, 1), (1, 1, 1, 1))
        kernel = kernel[..., 1:, :] + kernel[..., :-1, :]  # a repeated row is met by two weights
        kernel = kernel[..., 1:] + kernel[..., :-1]
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Convolution (3x3, or 4x4 that halves the size) with He initialisation, and leaky ReLU."""
    return _activated(nn.Conv2d(inputs, outputs, 2 + stride, stride=stride, padding=1))


def conv_doubled(inputs: int, outputs: int) -> nn.Sequential:
    """`conv` of the image doubled by repetition."""
    return _activated(Doubled(inputs, outputs))


def _activated(layer: nn.Conv2d) -> nn.Sequential:
    nn.init.kaiming_normal_(layer.weight, a=SLOPE)
    return nn.Sequential(layer, nn.LeakyReLU(SLOPE))


class ConvGenerator(nn.Module):
    """Latent and label to image: dense layer to 4x4, then convolve, double, convolve each level."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        widths = level_widths(spec)[::-1]
        self.latent_dim = spec.latent_dim
        self.entry = LabelledLatent(spec)
        self.dense = nn.Linear(self.entry.size, widths[0] * SMALLEST**2)
        self.levels = nn.Sequential(
            *(
                # named as when a layer that doubles stood between, so that older weights load
                nn.Sequential(
                    OrderedDict({"0": conv(inputs, inputs), "2": conv_doubled(inputs, outputs)})
                )
                for inputs, outputs in itertools.pairwise(widths)
            )
        )
        self.to_image = nn.Conv2d(widths[-1], spec.channels, kernel_size=3, padding=1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Latents ``[N, latent_dim]``, labels ``[N]`` to images ``[N, C, H, W]`` in -1..1."""
        x = F.leaky_relu(self.dense(self.entry(latents, labels)), SLOPE)
        x = self.levels(x.reshape(len(x), -1, SMALLEST, SMALLEST))
        return torch.tanh(self.to_image(x))


class ConvTrunk(nn.Module):
    """Image to features: halve and convolve each level, dense layer at 4x4."""

    def __init__(self, spec: NetworkSpec, channels: int) -> None:
        super().__init__()
        widths = level_widths(spec)
        self.features = widths[-1]
        self.from_image = conv(channels, widths[0])
        self.levels = nn.Sequential(
            *(
                nn.Sequential(conv(inputs, outputs, stride=2), conv(outputs, outputs))
                for inputs, outputs in itertools.pairwise(widths)
            )
        )
        self.dense = nn.Linear(widths[-1] * SMALLEST**2, self.features)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[N, channels, H, W]`` to features ``[N, features]``."""
        x = self.levels(self.from_image(images))
        return F.leaky_relu(self.dense(x.flatten(1)), SLOPE)
