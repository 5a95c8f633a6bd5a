"""Recipes: how a classifier is trained, on whatever images. A recipe is one row of `RECIPES`.

A recipe changes images and labels as they are shown. It adds none, so that every addition can be
judged under the same recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tasks.classifier.augmentation import Augment, Augmentation
from tasks.classifier.trivial_augment import TrivialAugment

Blend = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
_SMOOTHING = 0.1


@dataclass(frozen=True)
class Recipe:
    """What is done to a batch before the classifier sees it.

    Attributes:
        augment: from the ground's colour ``[C, 1, 1]`` in 0..1 and whether mirroring is allowed to
            a change of images ``[N, C, H, W]`` in -1..1; None leaves them as they are.
        blend: from the number of classes K to a change of images and labels ``[N]``, or soft ones
            ``[N, K]``, into images and shares of the classes ``[N, K]``; None leaves them.
    """

    augment: Callable[[Tensor, bool], Augment] | None = None
    blend: Callable[[int], Blend] | None = None


def mixing(classes: int) -> Blend:
    """MixUp (Zhang et al. 2018, arXiv:1710.09412) or CutMix (Yun et al. 2019, arXiv:1905.04899).

    One or the other at each step, with the strengths of torchvision's own recipe for training
    classifiers.
    """
    from torchvision.transforms import v2  # seconds, and not every recipe needs it

    mixup = v2.MixUp(alpha=0.2, num_classes=classes)
    blend: Blend = v2.RandomChoice([mixup, v2.CutMix(alpha=1.0, num_classes=classes)])
    return blend


def smoothing(classes: int) -> Blend:
    """Label smoothing by 0.1 (Szegedy et al. 2016, arXiv:1512.00567, section 7)."""

    def blend(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        shares = labels if labels.ndim == 2 else F.one_hot(labels, classes).float()
        return images, shares.lerp(torch.full_like(shares, 1.0 / classes), _SMOOTHING)

    return blend


RECIPES = {  # the keys are those of `RecipeName`
    "plain": Recipe(),
    "classical": Recipe(augment=Augmentation),
    "smoothing": Recipe(augment=Augmentation, blend=smoothing),
    "mixup": Recipe(augment=Augmentation, blend=mixing),
    "trivial": Recipe(augment=TrivialAugment),
}
