"""TrivialAugment, for a whole batch at a time.

torchvision's draws once a call, and one call an image takes half as long again as a training step
(docs/log.md). Here every image has a draw of its own in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_STRENGTHS = 31
_MOST_SHEAR, _MOST_DEGREES, _MOST_CHANGE = 0.99, 135.0, 0.99
_GREY = torch.tensor([0.2989, 0.587, 0.114])[None, :, None, None]


@dataclass(frozen=True)
class TrivialAugment:
    """One of 14 operations at one of 31 strengths for each image.

    Müller and Hutter 2021 (arXiv:2103.10158, algorithm 1), the wide space of their table 8. Shifts
    go up to the image's own size, as the 32 pixels of the paper do on images of 32. What is
    uncovered is filled with the ground. Random numbers come from torch's global state.

    Attributes:
        ground: colour ``[C, 1, 1]`` in 0..1.
        flip: mirrors every second image, on average, before.
    """

    ground: Tensor
    flip: bool

    def __call__(self, images: Tensor) -> Tensor:
        """Images ``[N, C, H, H]`` in -1..1 to the same shape and range."""
        n, pixels = len(images), images / 2 + 0.5
        if self.flip:
            pixels = torch.where(torch.rand(n, 1, 1, 1) < 0.5, pixels.flip(3), pixels)
        operation = torch.randint(len(OPERATIONS), (n,))
        strength = torch.randint(_STRENGTHS, (n,)) / (_STRENGTHS - 1)
        sign = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
        order = operation.argsort()  # images of one operation side by side
        counts = operation.bincount(minlength=len(OPERATIONS)).tolist()
        drawn = (torch.split(one[order], counts) for one in (pixels, strength, sign))
        parts = zip(*drawn, strict=True)
        changed = [
            apply(own, Drawn(strengths, signs, self.ground)) if len(own) else own
            for apply, (own, strengths, signs) in zip(OPERATIONS.values(), parts, strict=True)
        ]
        return torch.cat(changed)[order.argsort()].clamp(0, 1) * 2 - 1


@dataclass(frozen=True)
class Drawn:
    """Strength ``[N]`` in 0..1 and sign ``[N]`` of N images, and the colour to fill with."""

    strength: Tensor
    sign: Tensor
    ground: Tensor

    def times(self, most: float) -> Tensor:
        """Return signed strengths ``[N]``, up to the most."""
        return self.sign * self.strength * most


def _shear(x: float, y: float) -> Callable[[Tensor, Drawn], Tensor]:
    """Shear about the upper left corner, along one axis."""

    def shear(images: Tensor, drawn: Drawn) -> Tensor:
        slope, one = drawn.times(_MOST_SHEAR), torch.ones(len(images))
        rows = [one, x * slope, x * slope, y * slope, one, y * slope]
        return _sampled(images, torch.stack(rows, dim=1), drawn.ground)

    return shear


def _translate(x: float, y: float) -> Callable[[Tensor, Drawn], Tensor]:
    def translate(images: Tensor, drawn: Drawn) -> Tensor:
        shift = -2.0 * drawn.times(1.0)
        one, none = torch.ones(len(images)), torch.zeros(len(images))
        rows = [one, none, x * shift, none, one, y * shift]
        return _sampled(images, torch.stack(rows, dim=1), drawn.ground)

    return translate


def _rotate(images: Tensor, drawn: Drawn) -> Tensor:
    angle, none = drawn.times(math.radians(_MOST_DEGREES)), torch.zeros(len(images))
    rows = [angle.cos(), -angle.sin(), none, angle.sin(), angle.cos(), none]
    return _sampled(images, torch.stack(rows, dim=1), drawn.ground)


def _sampled(images: Tensor, rows: Tensor, ground: Tensor) -> Tensor:
    """Read images where matrices ``[N, 6]`` of normalised coordinates say, bilinearly."""
    grid = F.affine_grid(rows.view(-1, 2, 3), list(images.shape), align_corners=False)
    # the ground is made 0 meanwhile, which is what lies beyond an image
    return F.grid_sample(images - ground, grid, align_corners=False) + ground


def _away_from(dull: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Drawn], Tensor]:
    """Move images away from, or towards, a duller version of themselves."""

    def change(images: Tensor, drawn: Drawn) -> Tensor:
        factor = 1.0 + drawn.times(_MOST_CHANGE)[:, None, None, None]
        return dull(images).lerp(images, factor)

    return change


def _grey(images: Tensor) -> Tensor:
    return images if images.shape[1] == 1 else (images * _GREY).sum(dim=1, keepdim=True)


def _mean(images: Tensor) -> Tensor:
    return _grey(images).mean(dim=(1, 2, 3), keepdim=True).expand_as(images)


def _blurred(images: Tensor) -> Tensor:
    """Mean over 3x3 with the middle counted five times, but at the border."""
    channels = images.shape[1]
    kernel = torch.ones(channels, 1, 3, 3)
    kernel[:, :, 1, 1] = 5.0
    blurred = images.clone()
    blurred[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel / 13.0, groups=channels)
    return blurred


def _posterize(images: Tensor, drawn: Drawn) -> Tensor:
    """Keep 8 to 2 of the 8 bits."""
    levels = 2.0 ** (8.0 - (6.0 * drawn.strength).round())[:, None, None, None]
    return (images * levels).floor().clamp(max=levels - 1.0) / levels


def _solarize(images: Tensor, drawn: Drawn) -> Tensor:
    threshold = 1.0 - drawn.strength[:, None, None, None]
    return torch.where(images >= threshold, 1.0 - images, images)


def _autocontrast(images: Tensor, drawn: Drawn) -> Tensor:
    del drawn
    least, most = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    spread = torch.where(most > least, most - least, 1.0)
    return torch.where(most > least, (images - least) / spread, images)


def _equalize(images: Tensor, drawn: Drawn) -> Tensor:
    from torchvision.transforms.v2.functional import equalize  # seconds

    del drawn
    equalized: Tensor = equalize(images)
    return equalized


OPERATIONS: dict[str, Callable[[Tensor, Drawn], Tensor]] = {
    "Identity": lambda images, drawn: images,
    "ShearX": _shear(1.0, 0.0),
    "ShearY": _shear(0.0, 1.0),
    "TranslateX": _translate(1.0, 0.0),
    "TranslateY": _translate(0.0, 1.0),
    "Rotate": _rotate,
    "Brightness": _away_from(torch.zeros_like),
    "Color": _away_from(lambda images: _grey(images).expand_as(images)),
    "Contrast": _away_from(_mean),
    "Sharpness": _away_from(_blurred),
    "Posterize": _posterize,
    "Solarize": _solarize,
    "AutoContrast": _autocontrast,
    "Equalize": _equalize,
}
