"""Classical augmentation, the arm to beat: torchvision's transforms v2."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torchvision.transforms import v2

_GROUP = 8  # images that share one draw: v2 draws once a call, and a call an image is 8x slower


@dataclass(frozen=True)
class Augmentation:
    """Rotation, translation, scale, crop, brightness and contrast; more where it fits.

    Colour images also vary in hue and saturation; `flip` mirrors left and right, for data
    whose meaning survives that. Random numbers come from torch's global state. One draw serves
    8 neighbouring images of a batch, a fresh one every step.
    """

    transform: v2.Compose

    def __call__(self, images: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` in -1..1 to the same shape and range."""
        groups = [self.transform(group) for group in torch.split(images / 2 + 0.5, _GROUP)]
        return torch.cat(groups).clamp(0, 1) * 2 - 1


def classical(images: Tensor, *, flip: bool) -> Augmentation:
    """Build the augmentation for a training set ``[N, C, H, W]`` in -1..1.

    What a shift uncovers is filled with the set's median border colour.
    """
    _, channels, size, _ = images.shape
    border = torch.cat([images[:, :, 0], images[:, :, -1]], dim=2)
    ground = (border.transpose(0, 1).flatten(1).median(dim=1).values / 2 + 0.5)[:, None, None]
    steps: list[v2.Transform] = [
        # torchvision darkens the seam to any fill but 0, so the ground is made 0 meanwhile
        v2.Lambda(partial(torch.sub, other=ground)),
        v2.RandomAffine(
            degrees=12,
            translate=(0.08, 0.08),
            scale=(0.9, 1.1),
            interpolation=v2.InterpolationMode.BILINEAR,
        ),
        v2.Lambda(partial(_add, ground=ground)),
        v2.RandomCrop(size, padding=max(1, size // 16), padding_mode="edge"),
    ]
    if flip:
        steps.append(v2.RandomHorizontalFlip())
    colour = {"hue": 0.05, "saturation": 0.2} if channels == 3 else {}
    steps.append(v2.ColorJitter(brightness=0.2, contrast=0.2, **colour))
    return Augmentation(v2.Compose(steps))


def _add(images: Tensor, ground: Tensor) -> Tensor:
    # a rounding error below 0 or above 1 would become NaN in torchvision's change of hue
    return (images + ground).clamp(0, 1)
