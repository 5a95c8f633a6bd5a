"""From stored images to what networks eat: tensors and class-balanced batches."""

from __future__ import annotations

from typing import Any

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


class ClassSampler:
    """Draws a class, then a row of it, so that few images of a class weigh as much as many.

    Deterministic from its random generator.

    Args:
        labels: of every row, int64 ``[N]``.
        rng: where draws come from.
        balanced: whether classes are equally likely, or as likely as they are frequent.
        asked: the classes below it are drawn half the time at least, however many others there
            are; None sets no class apart.
    """

    def __init__(
        self,
        labels: Labels,
        rng: np.random.Generator,
        *,
        balanced: bool = True,
        asked: int | None = None,
    ) -> None:
        self._rng = rng
        self._order = np.argsort(labels, kind="stable")
        self._classes, self._first, self._count = np.unique(
            labels[self._order], return_index=True, return_counts=True
        )
        shares = np.full(len(self._classes), 1.0) if balanced else self._count
        if asked is not None:
            shares = _half_at_least(shares, self._classes < asked)
        even = balanced and asked is None
        self._edges = None if even else np.cumsum(shares)[:-1] / shares.sum()

    def labels(self, size: int) -> Labels:
        """Draw `size` labels."""
        if self._edges is None:
            drawn = self._rng.integers(len(self._classes), size=size)
        else:
            drawn = np.searchsorted(self._edges, self._rng.random(size), side="right")
        return self._classes[drawn].astype(np.int64)

    def rows_of(self, labels: Labels) -> npt.NDArray[np.int64]:
        """Draw one row for each of the given labels, with replacement."""
        kind = np.searchsorted(self._classes, labels)
        place = (self._rng.random(len(labels)) * self._count[kind]).astype(np.int64)
        rows: npt.NDArray[np.int64] = self._order[self._first[kind] + place].astype(np.int64)
        return rows


def _half_at_least(shares: npt.NDArray[Any], some: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Return shares of which some together have half at least, the proportions among them kept."""
    own = shares[some].sum() / shares.sum()
    if own >= 0.5 or not some.any():
        return shares
    halved: npt.NDArray[Any] = np.where(some, shares * 0.5 / own, shares * 0.5 / (1.0 - own))
    return halved
