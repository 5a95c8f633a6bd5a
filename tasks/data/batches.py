"""From stored images to what networks eat: tensors and class-balanced batches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tasks.contracts.image_set import Images, Labels


def to_tensor(images: Images) -> Tensor:
    """uint8 ``[N, H, W, C]`` to float32 ``[N, C, H, W]`` in -1..1."""
    tensor = torch.from_numpy(np.array(images, dtype=np.float32))
    return (tensor / 127.5 - 1.0).permute(0, 3, 1, 2).contiguous()


def to_images(tensor: Tensor) -> Images:
    """Float ``[N, C, H, W]`` in -1..1 to uint8 ``[N, H, W, C]``, rounded and clamped."""
    pixels = ((tensor.detach() + 1.0) * 127.5).round().clamp(0, 255)
    images: Images = pixels.permute(0, 2, 3, 1).to(torch.uint8).contiguous().cpu().numpy()
    return images


class BalancedSampler:
    """Draws rows so that every class is equally likely, then every row of that class.

    Deterministic from its random generator.
    """

    def __init__(self, labels: Labels, rng: np.random.Generator) -> None:
        self._rng = rng
        self._order = np.argsort(labels, kind="stable")
        self._classes, self._first, self._count = np.unique(
            labels[self._order], return_index=True, return_counts=True
        )

    def labels(self, size: int) -> Labels:
        """Draw `size` labels, classes equally likely."""
        return self._classes[self._rng.integers(len(self._classes), size=size)].astype(np.int64)

    def rows_of(self, labels: Labels) -> npt.NDArray[np.int64]:
        """Draw one row for each of the given labels, with replacement."""
        kind = np.searchsorted(self._classes, labels)
        place = (self._rng.random(len(labels)) * self._count[kind]).astype(np.int64)
        rows: npt.NDArray[np.int64] = self._order[self._first[kind] + place].astype(np.int64)
        return rows
