"""What the runs were made of: images by class, seeds, digests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

_RARE_SHARE = 0.5  # of the average class


@dataclass(frozen=True)
class Material:
    """What the runs were made of.

    Attributes:
        class_names: K names in the order of their labels.
        merged: manifest of the merged training set.
        control: images of the control set, over all GANs.
        test: test images of each class ``[K]``.
        seeds: classifier seeds.
        gan_seeds: GANs that the treatment rests on, empty without.
    """

    class_names: Sequence[str]
    merged: pd.DataFrame
    control: int
    test: Sequence[int]
    seeds: Sequence[int]
    gan_seeds: Sequence[int]

    @property
    def train(self) -> dict[str, int]:
        """Real training images by class."""
        return self._by_class(self.merged[self.merged["origin"] == "real"])

    def synthetic(self, gan_seed: int) -> dict[str, int]:
        """Synthetic images of one GAN by class."""
        rows = self.merged["origin"].eq("synthetic") & self.merged["gan_seed"].eq(gan_seed)
        return self._by_class(self.merged[rows.fillna(False)])

    @property
    def rare(self) -> tuple[str, ...]:
        """Classes with fewer real training images than half the average class."""
        train = self.train
        bar = _RARE_SHARE * sum(train.values()) / len(train)
        return tuple(name for name, count in train.items() if count < bar)

    @property
    def digest(self) -> str:
        """Sha256 over id, label and origin of every merged image, in their order."""
        columns = self.merged[["image_id", "label", "origin"]].astype(str)
        lines = columns.agg(" ".join, axis=1)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _by_class(self, rows: pd.DataFrame) -> dict[str, int]:
        counts = np.bincount(rows["label"], minlength=len(self.class_names))
        return {name: int(n) for name, n in zip(self.class_names, counts, strict=True)}
