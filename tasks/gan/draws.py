"""What training draws, the same whether one process draws a batch or several share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Generator, Tensor

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, concatenate
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.contracts.privacy import Unit
from tasks.data.batches import ClassSampler

_MOST_UNLABELLED = 0.5  # of a batch


@dataclass(frozen=True)
class Draws:
    """Draws for one process's slice of a global batch.

    Every process has a generator in the same state, draws for the whole batch and keeps its own
    rows: the work is nothing beside a convolution, and two processes see what one would.

    Attributes:
        generator: torch's generator, on the device that trains.
        rank: this process's number, 0 to ``world - 1``.
        world: how many processes share a batch.
    """

    generator: Generator
    rank: int = 0
    world: int = 1

    def normal(self, n: int, *shape: int) -> Tensor:
        """Return standard normal numbers ``[n, *shape]`` for this process's ``n`` samples."""
        drawn = torch.randn(
            (n * self.world, *shape), generator=self.generator, device=self.generator.device
        )
        return self.mine(drawn)

    def uniform(self, n: int, *shape: int) -> Tensor:
        """Return numbers in 0..1 ``[n, *shape]`` for this process's ``n`` samples."""
        drawn = torch.rand(
            (n * self.world, *shape), generator=self.generator, device=self.generator.device
        )
        return self.mine(drawn)

    def one_of_each(self, n: int, block: int) -> Tensor:
        """Return a random row of every ``block`` consecutive ones of this process's ``n``.

        Every row is as likely as any other, and several processes draw the rows of one.

        Args:
            n: rows of this process, a multiple of ``block``.
            block: how many rows one is drawn from.

        Returns:
            ``[n / block]`` row numbers, rising.
        """
        first = torch.arange(0, n, block, device=self.generator.device)
        return first + (self.uniform(len(first)) * block).long()

    def mine(self, whole: Tensor) -> Tensor:
        """Return this process's rows of what belongs to the global batch, ``[n * world, ...]``."""
        n = len(whole) // self.world
        return whole[self.rank * n : (self.rank + 1) * n]


def in_two_domains(train: ImageSet, other_domain: ImageSet) -> ImageSet:
    """Join images of two domains: class c of K in the other one is class K + c of the set."""
    manifest = other_domain.manifest
    apart = manifest.assign(
        label=manifest["label"] + len(train.class_names),
        class_name=manifest["class_name"] + " (other domain)",
    )
    return concatenate([train, ImageSet(other_domain.images, apart)])


def with_related(train: ImageSet, related: ImageSet) -> ImageSet:
    """Join images of related classes: class c of them is class K + c of the set."""
    apart = related.manifest.assign(label=related.manifest["label"] + len(train.class_names))
    return concatenate([train, ImageSet(related.images, apart)])


def units_of(train: ImageSet) -> tuple[npt.NDArray[np.int64], Unit]:
    """Return the number of each image's unit, ``[N]`` in 0..U-1, and what a unit is."""
    group = train.manifest["group"]
    units, names = pd.factorize(group.where(group.notna(), train.manifest["image_id"]))
    return units.astype(np.int64), "image" if len(names) == len(train) else "group"


def check_units(train: ImageSet, params: TrainGanParams) -> None:
    """Refuse a promise of privacy that these images cannot be given.

    Raises:
        UserError: more units a step than there are, or a δ that protects nobody.
    """
    units, delta = int(units_of(train)[0].max()) + 1, params.privacy.delta
    if params.batch_size > units:
        raise UserError(
            f"train_gan.batch_size: {params.batch_size}",
            f"a step of private training sees a random part of the {units} units of real/train, "
            "and this is more than all of them",
            f"Set it to at most {units // 2 // 2 * 2}",
        )
    if delta >= 1 / units:
        raise UserError(
            f"train_gan.privacy.delta: {delta:g}",
            f"with {units} units, a training that gives one of them away whole would be within it",
            f"Set it well below {1 / units:.1g}, such as {0.1 / units:.1g}",
        )


class RealBatches:
    """Draws batches by class, and for each its images.

    Several processes draw the same global batch and keep their own rows, as `Draws` does.

    Args:
        train: labelled images (true labels, or pseudo-labels).
        unlabelled: images without a label, which fill the end of every batch in proportion to
            their number, at most half; may be empty. They are of the first domain.
        batch_size: images of the global batch, a multiple of ``world``.
        balanced: whether classes are drawn equally often, or as often as they occur.
        seed: of the draws.
        domain: classes of the first domain, where ``train`` holds two; None where it holds one.
        asked: classes that are asked about, the first ones, where ``train`` holds others; they are
            half of a batch at least. None where it holds no others.
        device: where the images lie.
        rank: this process's number.
        world: how many processes share a batch.
    """

    def __init__(
        self,
        train: ImageSet,
        unlabelled: ImageSet | None,
        *,
        batch_size: int,
        balanced: bool,
        seed: int,
        device: torch.device,
        domain: int | None = None,
        asked: int | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._domain = domain
        self._rng = np.random.default_rng([seed, 1])
        self._sampler = ClassSampler(train.labels, self._rng, balanced=balanced, asked=asked)
        self._images = on_device(device, train)
        self._size, self._rank, self._world = batch_size, rank, world
        self._loose: Tensor | None = None
        self.loose_rows = 0  # of this process's batch, at its end
        if unlabelled is not None and len(unlabelled):
            share = min(_MOST_UNLABELLED, len(unlabelled) / (len(unlabelled) + len(train)))
            self._loose = on_device(device, unlabelled)
            self.loose_rows = round(share * batch_size / world)

    def batch(self, paired: bool = False) -> tuple[Tensor, Tensor]:
        """Return images ``[n, C, H, W]`` in -1..1 and labels ``[n]`` of this process's share.

        Args:
            paired: whether images 2i and 2i + 1 share a class.
        """
        if paired:
            labels = np.repeat(self._sampler.labels(self._size // 2), 2)
        else:
            labels = self._sampler.labels(self._size)
        rows = self._mine(self._sampler.rows_of(labels))
        images = self._images[torch.from_numpy(rows).to(self._images.device)]
        if self._loose is not None and self.loose_rows:
            drawn = self._rng.integers(len(self._loose), size=self.loose_rows * self._world)
            loose = self._loose[torch.from_numpy(self._mine(drawn)).to(images.device)]
            images = torch.cat([images[: -self.loose_rows], loose])
        asked = torch.from_numpy(self._mine(labels)).to(images.device)
        if self._domain is not None and self.loose_rows:  # so are their fakes to be
            asked[-self.loose_rows :] %= self._domain
        return images.float() / 127.5 - 1.0, asked

    def known(self, labels: Tensor) -> Tensor:
        """Return the labels that the discriminator may see: -1 where the real image has none."""
        if not self.loose_rows:
            return labels
        known = labels.clone()
        known[-self.loose_rows :] = -1
        return known

    def state(self) -> dict[str, Any]:
        """Return where the draws stand, as plain values."""
        return dict(self._rng.bit_generator.state)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on drawing from where ``state`` stood."""
        self._rng.bit_generator.state = state

    def _mine(self, whole: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        n = len(whole) // self._world
        return whole[self._rank * n : (self._rank + 1) * n]


def on_device(device: torch.device, images: ImageSet) -> Tensor:
    """Return all images, uint8 ``[N, C, H, W]``."""
    return torch.from_numpy(np.array(images.images)).permute(0, 3, 1, 2).contiguous().to(device)
