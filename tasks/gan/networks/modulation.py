"""The layers of a style generator: convolutions whose weights a style scales, with noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.gan.networks.conv import SLOPE

_TINY = 1e-8
_FAINT = 0.25  # of unit variance, at first: the levels' images add up, and tanh should not saturate


class ModulatedConv(nn.Module):
    """Convolution with weights scaled by a style, and back to unit variance.

    Karras et al. 2020 (StyleGAN2, arXiv:1912.04958, eq. 1-3). Scaling a weight's input channel
    is scaling the input, and normalising its output channel is scaling the output, so one
    convolution serves a whole batch of styles.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, style_dim: int, *, demodulate: bool
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        with torch.no_grad():
            self.weight.mul_(1 / math.sqrt(inputs * kernel**2))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = nn.Linear(style_dim, inputs)
        nn.init.kaiming_normal_(self.affine.weight, nonlinearity="linear")
        nn.init.ones_(self.affine.bias)
        self.demodulate = demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` and style ``[N, D]`` to ``[N, outputs, H, W]``, without bias."""
        scale = self.affine(style)
        x = F.conv2d(x * scale[:, :, None, None], self.weight, padding=self.weight.shape[2] // 2)
        if self.demodulate:
            power = scale.square() @ self.weight.square().sum(dim=(2, 3)).T
            x = x * (power + _TINY).rsqrt()[:, :, None, None]
        return x


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise of a learned strength, bias and leaky ReLU.

    In training the noise is drawn anew; in eval mode it is one fixed pattern, so that an image
    depends on its latent and label alone.
    """

    def __init__(self, inputs: int, outputs: int, size: int, style_dim: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, style_dim, demodulate=True)
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(1, 1, size, size))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """``[N, inputs, size, size]`` and style ``[N, D]`` to ``[N, outputs, size, size]``."""
        x = self.conv(x, style)
        noise = torch.randn_like(x[:, :1]) if self.training else self.get_buffer("noise")
        x = x + self.strength * noise + self.conv.bias[:, None, None]
        return F.leaky_relu(x, SLOPE) * math.sqrt(2)  # keeps the variance, as StyleGAN2's code does


class ToImage(nn.Module):
    """Modulated 1x1 convolution to colours, not demodulated (StyleGAN2, appendix B)."""

    def __init__(self, inputs: int, channels: int, style_dim: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, channels, 1, style_dim, demodulate=False)
        with torch.no_grad():
            self.conv.weight.mul_(_FAINT)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` and style ``[N, D]`` to ``[N, channels, H, W]``."""
        image: Tensor = self.conv(x, style) + self.conv.bias[:, None, None]
        return image
