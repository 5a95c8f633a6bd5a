"""Classical augmentation, the arm to beat: every image of a batch gets a draw of its own.

torchvision's transforms draw once a call. One call an image costs more than the network, and one
for several neighbours makes the arm weaker than it is (docs/log.md), which would flatter a GAN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tasks.classifier.examples import Examples
from tasks.data.batches import to_tensor

Augment = Callable[[Tensor], Tensor]
"""A change of images ``[N, C, H, W]`` in -1..1."""

_BLOCK = 256  # images that are read at a time
_DEGREES, _SHIFT, _SCALE = 12.0, 0.08, 0.1
_LIGHT, _SATURATION, _HUE = 0.2, 0.2, 0.05
_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


@dataclass(frozen=True)
class Augmentation:
    """Rotation by 12 degrees, shift by 8 % and a pixel or more, scale, brightness, contrast.

    Colour images also vary in hue (18 degrees of the circle) and saturation; `flip` mirrors left
    and right, for data whose meaning survives that. Random numbers come from torch's global state.

    Attributes:
        ground: colour ``[C, 1, 1]`` in 0..1 of what a shift uncovers.
        flip: mirrors every second image, on average.
    """

    ground: Tensor
    flip: bool

    def __call__(self, images: Tensor) -> Tensor:
        """Images ``[N, C, H, H]`` in -1..1 to the same shape and range."""
        moved = self.moved(images / 2 + 0.5)
        return _recoloured(moved).clamp(0, 1) * 2 - 1

    def moved(self, images: Tensor) -> Tensor:
        """Turn, scale, shift and mirror images ``[N, C, H, H]`` in 0..1, bilinearly."""
        n, _, size, _ = images.shape
        angle = _around(n, math.radians(_DEGREES))
        scale = 1.0 + _around(n, _SCALE)
        crop = max(1, size // 16)
        pixels = torch.randint(-crop, crop + 1, (n, 2)) / size
        shift = 2.0 * (torch.stack([_around(n, _SHIFT), _around(n, _SHIFT)], dim=1) + pixels)
        side = torch.where(torch.rand(n) < 0.5, -1.0, 1.0) if self.flip else torch.ones(n)
        cosine, sine = angle.cos() / scale, angle.sin() / scale
        rows = [side * cosine, -sine, side * sine, cosine]
        turn = torch.stack(rows, dim=1).reshape(n, 2, 2)
        grid = F.affine_grid(
            torch.cat([turn, -turn @ shift[:, :, None]], dim=2),
            list(images.shape),
            align_corners=False,
        )
        # the ground is made 0 meanwhile, which is what lies beyond an image
        inside = F.grid_sample(images - self.ground, grid, align_corners=False)
        return inside + self.ground


def classical(train: Examples, *, flip: bool) -> Augmentation:
    """Build the augmentation for a training set."""
    return Augmentation(ground_of(train), flip)


def ground_of(train: Examples) -> Tensor:
    """Return the colour ``[C, 1, 1]`` in 0..1 to fill with what a shift uncovers.

    It is the median of first and last rows, the lower one of an even number.
    """
    counts = np.zeros((train.image_shape[2], 256), dtype=np.int64)
    for block in train.blocks(_BLOCK):
        edges = np.moveaxis(block[:, [0, -1]], -1, 0)
        counts += [np.bincount(edge.ravel(), minlength=256) for edge in edges]
    middle = (counts[0].sum() - 1) // 2
    median = (counts.cumsum(axis=1) > middle).argmax(axis=1).astype(np.uint8)
    return to_tensor(median.reshape(1, 1, 1, -1))[0] / 2 + 0.5


def _recoloured(images: Tensor) -> Tensor:
    """Vary brightness and contrast of ``[N, C, H, W]`` in 0..1, of colour also saturation and hue.

    Hue turns and saturation scales the two axes of chroma in YIQ, so both are one matrix an image.
    """
    n, channels = images.shape[:2]
    images = (images * (1.0 + _around(n, _LIGHT)[:, None, None, None])).clamp(0, 1)
    if channels == 3:
        angle, strength = _around(n, math.tau * _HUE), 1.0 + _around(n, _SATURATION)
        chroma = torch.eye(3).repeat(n, 1, 1)
        chroma[:, 1, 1] = chroma[:, 2, 2] = strength * angle.cos()
        chroma[:, 1, 2], chroma[:, 2, 1] = strength * -angle.sin(), strength * angle.sin()
        change = torch.linalg.inv(_YIQ) @ chroma @ _YIQ
        images = torch.einsum("nij,njhw->nihw", change, images).clamp(0, 1)
        grey = torch.einsum("c,nchw->nhw", _YIQ[0], images)[:, None]
    else:
        grey = images
    mean = grey.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (1.0 + _around(n, _LIGHT)[:, None, None, None])


def _around(n: int, most: float) -> Tensor:
    """N numbers, uniform in -most..most."""
    return (torch.rand(n) * 2 - 1) * most
