"""A pair that grows from 4 px to full size in training (Karras et al. 2018, arXiv:1710.10196).

Images are always of full size: the generator repeats the pixels of a smaller one, and the
discriminator averages real and fake alike down to the present size. A new size is faded in
(section 3), then held. Without the paper's pixel norm and equalised rates, as in `conv`.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.gan.networks.conditioning import Discriminator, LabelledLatent
from tasks.gan.networks.conv import SLOPE, SMALLEST, conv, level_widths
from tasks.gan.networks.spec import NetworkSpec

_GROWS = 0.5  # share of training in which the sizes come, each for as long
_FADES = 0.5  # share of a size's time in which it fades in


class _Growing(nn.Module):
    """Knows how much of training is done; a checkpoint keeps it."""

    def __init__(self, sizes: int) -> None:
        super().__init__()
        self._sizes = sizes
        self.register_buffer("progress", torch.zeros(()))

    def set_progress(self, done: float) -> None:
        """Tell the share of training that is done, 0..1."""
        self.get_buffer("progress").fill_(done)

    def stage(self) -> tuple[int, float]:
        """Return the newest size (0 is 4 px) and how far it has faded in, 0..1."""
        place = min(float(self.get_buffer("progress")) / _GROWS, 1.0) * self._sizes
        newest = min(int(place), self._sizes - 1)
        return newest, min(1.0, (place - newest) / _FADES) if newest else 1.0


class ProgressiveGenerator(_Growing):
    """Latent and label to image, through the sizes that have come so far."""

    def __init__(self, spec: NetworkSpec) -> None:
        widths = level_widths(spec)[::-1]
        super().__init__(len(widths))
        self.latent_dim, self.image_size = spec.latent_dim, spec.image_size
        self.entry = LabelledLatent(spec)
        self.dense = nn.Linear(self.entry.size, widths[0] * SMALLEST**2)
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Upsample(scale_factor=2), conv(inputs, outputs), conv(outputs, outputs)
            )
            for inputs, outputs in itertools.pairwise(widths)
        )
        self.to_image = nn.ModuleList(nn.Conv2d(width, spec.channels, 1) for width in widths)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Latents ``[N, latent_dim]``, labels ``[N]`` to images ``[N, C, H, W]`` in -1..1."""
        newest, alpha = self.stage()
        x = F.leaky_relu(self.dense(self.entry(latents, labels)), SLOPE)
        x = before = x.reshape(len(x), -1, SMALLEST, SMALLEST)
        for level in self.levels[:newest]:
            before, x = x, level(x)
        image = self.to_image[newest](x)
        if alpha < 1:
            old = F.interpolate(self.to_image[newest - 1](before), scale_factor=2)
            image = torch.lerp(old, image, alpha)
        return F.interpolate(torch.tanh(image), size=(self.image_size, self.image_size))


class ProgressiveTrunk(_Growing):
    """Image to features, through the sizes that have come so far."""

    def __init__(self, spec: NetworkSpec, channels: int) -> None:
        widths = level_widths(spec)[::-1]
        super().__init__(len(widths))
        self.features = widths[0]
        self.from_image = nn.ModuleList(conv(channels, width) for width in widths)
        self.levels = nn.ModuleList(
            nn.Sequential(conv(inputs, inputs), conv(inputs, outputs, stride=2))
            for outputs, inputs in itertools.pairwise(widths)
        )
        self.dense = nn.Linear(widths[0] * SMALLEST**2, self.features)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[N, channels, H, W]`` to features ``[N, features]``."""
        newest, alpha = self.stage()
        images = F.avg_pool2d(images, images.shape[2] // (SMALLEST * 2**newest))
        x = self.from_image[newest](images)
        for level in reversed(range(newest)):
            x = self.levels[level](x)
            if alpha < 1 and level == newest - 1:
                x = torch.lerp(self.from_image[level](F.avg_pool2d(images, 2)), x, alpha)
        return F.leaky_relu(self.dense(x.flatten(1)), SLOPE)


class ProgressiveDiscriminator(Discriminator):
    """A growing trunk and the head of the spec's conditioning."""

    trunk: ProgressiveTrunk

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__(ProgressiveTrunk, spec)

    def set_progress(self, done: float) -> None:
        """Tell the share of training that is done, 0..1."""
        self.trunk.set_progress(done)
