"""A small StyleGAN2 generator (Karras et al. 2020, arXiv:1912.04958); `resnet` judges it."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.gan.networks.conditioning import LabelledLatent
from tasks.gan.networks.conv import SLOPE, SMALLEST, level_widths
from tasks.gan.networks.modulation import StyledConv, ToImage
from tasks.gan.networks.spec import NetworkSpec

_MAPPING_LAYERS = 3
_MIXED = 0.9  # of the images in training (Karras et al. 2019, arXiv:1812.04948, section 3.1)
_FORGETS = 0.002  # share of a class's mean style that one image replaces


class StyleGenerator(nn.Module):
    """Latent and label to styles, one a layer, and styles to an image.

    In training some images take their fine layers' styles from a second latent, and the mean
    style follows the mapped ones: buffer ``mean_style`` ``[K, D]``, one row a class (all alike
    without conditioning), to truncate towards. Styles are ``[N, layers, style_dim]``.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        widths = level_widths(spec)[::-1]
        self.latent_dim = spec.latent_dim
        self.style_dim = widths[0]
        self.layers = 2 * len(widths)  # a convolution at 4 px, two a level after it, the last image
        self.entry = LabelledLatent(spec)
        self.mapping = _mapping(self.entry.size, self.style_dim)
        self.constant = nn.Parameter(torch.randn(1, widths[0], SMALLEST, SMALLEST))
        convs = [StyledConv(widths[0], widths[0], SMALLEST, self.style_dim)]
        for level, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1):
            size = SMALLEST * 2**level
            convs.append(StyledConv(inputs, outputs, size, self.style_dim))
            convs.append(StyledConv(outputs, outputs, size, self.style_dim))
        self.convs = nn.ModuleList(convs)
        self.to_image = nn.ModuleList(
            ToImage(width, spec.channels, self.style_dim) for width in widths
        )
        self.register_buffer("mean_style", torch.zeros(spec.classes, self.style_dim))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Latents ``[N, latent_dim]``, labels ``[N]`` to images ``[N, C, H, W]`` in -1..1."""
        styles = self.map(latents, labels)
        if self.training:
            self._follow(styles[:, 0], labels)
            styles = self._mix(styles, labels)
        return self.synthesise(styles)

    def map(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Latents ``[N, latent_dim]``, labels ``[N]`` to styles ``[N, layers, style_dim]``."""
        style: Tensor = self.mapping(self.entry(_unit(latents), labels))
        return style[:, None].expand(-1, self.layers, -1)

    def synthesise(self, styles: Tensor) -> Tensor:
        """Styles ``[N, layers, style_dim]`` to images ``[N, C, H, W]`` in -1..1."""
        x = self.convs[0](self.constant.expand(len(styles), -1, -1, -1), styles[:, 0])
        image = self.to_image[0](x, styles[:, 1])
        for level in range(1, len(self.to_image)):
            layer = 2 * level - 1
            x = F.interpolate(x, scale_factor=2)
            x = self.convs[layer](x, styles[:, layer])
            x = self.convs[layer + 1](x, styles[:, layer + 1])
            # each level adds detail to the image so far (section 4.1)
            image = F.interpolate(image, scale_factor=2)
            image = image + self.to_image[level](x, styles[:, layer + 2])
        return torch.tanh(image)

    @torch.no_grad()
    def _follow(self, style: Tensor, labels: Tensor) -> None:
        """Move each class's mean style by its share of the batch."""
        means = self.get_buffer("mean_style")
        member = F.one_hot(labels, len(means)).to(means.dtype)
        if self.entry.embed is None:  # a class is nothing to the mapping: one mean for all
            member = torch.ones_like(member)
        count = member.sum(0)[:, None]
        batch_mean = member.T @ style.to(means.dtype) / count.clamp(min=1)
        means.lerp_(batch_mean, 1 - (1 - _FORGETS) ** count)

    def _mix(self, styles: Tensor, labels: Tensor) -> Tensor:
        """Take the styles after a random layer from another latent, in most of the images."""
        n, device = len(styles), styles.device
        others = self.map(torch.randn(n, self.latent_dim, device=device), labels)
        cut = torch.randint(1, self.layers, (n, 1), device=device)
        cut = torch.where(torch.rand(n, 1, device=device) < _MIXED, cut, self.layers)
        own = torch.arange(self.layers, device=device) < cut
        return torch.where(own[:, :, None], styles, others)


def _mapping(inputs: int, style_dim: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(_MAPPING_LAYERS):
        layer = nn.Linear(style_dim if number else inputs, style_dim)
        nn.init.kaiming_normal_(layer.weight, a=SLOPE)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)


def _unit(latents: Tensor) -> Tensor:
    """Scale each latent to a mean square of 1."""
    return latents * (latents.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
