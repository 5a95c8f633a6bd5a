"""The classic that people start from: DCGAN (Radford et al. 2016, arXiv:1511.06434, section 3).

Transposed 4x4 convolutions, batch norm on all but the outermost layers, ReLU in the generator
and leaky ReLU in the discriminator, weights drawn from N(0, 0.02). Batch norm makes a logit in
training depend on its batch, so what needs one image's gradient is refused in the parameters.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from tasks.gan.networks.conditioning import LabelledLatent
from tasks.gan.networks.conv import SLOPE, SMALLEST, level_widths
from tasks.gan.networks.spec import NetworkSpec

_STD = 0.02


class DcganGenerator(nn.Module):
    """Latent and label to image: every layer doubles the size, from 4x4 on."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        widths = level_widths(spec)[:0:-1]  # the image is made straight from half its size
        self.latent_dim = spec.latent_dim
        self.entry = LabelledLatent(spec)
        self.first = nn.Sequential(
            nn.ConvTranspose2d(self.entry.size, widths[0], SMALLEST, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        self.levels = nn.Sequential(
            *(
                nn.Sequential(
                    nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(),
                )
                for inputs, outputs in itertools.pairwise(widths)
            )
        )
        self.to_image = nn.ConvTranspose2d(widths[-1], spec.channels, 4, stride=2, padding=1)
        self.apply(_draw)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Latents ``[N, latent_dim]``, labels ``[N]`` to images ``[N, C, H, W]`` in -1..1."""
        x = self.entry(latents, labels)[:, :, None, None]
        return torch.tanh(self.to_image(self.levels(self.first(x))))


class DcganTrunk(nn.Module):
    """Image to features: strided convolutions down to 4x4, all of which the head reads."""

    def __init__(self, spec: NetworkSpec, channels: int) -> None:
        super().__init__()
        widths = level_widths(spec)[1:]
        self.features = widths[-1] * SMALLEST**2
        self.from_image = nn.Sequential(
            nn.Conv2d(channels, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)
        )
        self.levels = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(outputs),
                    nn.LeakyReLU(SLOPE),
                )
                for inputs, outputs in itertools.pairwise(widths)
            )
        )
        self.apply(_draw)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[N, channels, H, W]`` to features ``[N, features]``."""
        features: Tensor = self.levels(self.from_image(images)).flatten(1)
        return features


def _draw(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, std=_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, mean=1.0, std=_STD)
