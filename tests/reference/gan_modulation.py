"""Modulated convolution written out as in the paper: one image, one weight at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def modulated_conv(x: Tensor, weight: Tensor, scale: Tensor, demodulate: bool) -> Tensor:
    """StyleGAN2 (arXiv:1912.04958), eq. 1 and 3, on ``[N, I, H, W]`` with scales ``[N, I]``."""
    made = []
    for image, scales in zip(x, scale, strict=True):
        modulated = weight.clone()
        for i in range(weight.shape[1]):
            modulated[:, i] = scales[i] * weight[:, i]
        if demodulate:
            for o in range(weight.shape[0]):
                modulated[o] = modulated[o] / torch.sqrt((modulated[o] ** 2).sum() + 1e-8)
        made.append(F.conv2d(image[None], modulated, padding=weight.shape[2] // 2)[0])
    return torch.stack(made)
