"""The arms of the comparison: what each trains on. An arm is one row of `ARM_TABLE`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.contracts.arms import (
    CLASSICAL,
    DUPLICATED,
    FILTERED,
    MIXUP,
    PSEUDO_LABELLED,
    REAL,
    SYNTHETIC_ONLY,
    UNFILTERED,
    fraction_arm,
)
from tasks.contracts.image_set import ImageSet, Labels, concatenate

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Arm:
    """What an arm's classifier is trained on.

    Attributes:
        share: of the real training images: 0 none, 1 all, above 1 spare ones beside.
        added: which images stand beside the real ones, a key of `ADDED`; None: none.
        augment: classical augmentation is applied.
        mix: MixUp or CutMix is applied, one or the other at each step.
    """

    share: float = 1.0
    added: str | None = None
    augment: bool = True
    mix: bool = False


ARM_TABLE = {
    REAL: Arm(augment=False),
    CLASSICAL: Arm(),
    DUPLICATED: Arm(added="duplicated"),
    MIXUP: Arm(mix=True),
    PSEUDO_LABELLED: Arm(added="pseudo-labelled"),
    UNFILTERED: Arm(added="unfiltered"),
    FILTERED: Arm(added="filtered"),
    SYNTHETIC_ONLY: Arm(share=0.0, added="filtered", augment=False),
}
FROM_GAN = ("filtered", "unfiltered")  # of `ADDED`


@dataclass(frozen=True)
class Stock:
    """All that arms train on.

    Attributes:
        real: the N training images, of all K classes.
        filtered: synthetic images that the filter accepted, with a column ``gan_seed``.
        unfiltered: as many of each GAN and class, at random from the pool; likewise.
        spare: real images of the same classes that the cut left out; perhaps none.
        pseudo_labelled: images whose label an ensemble was sure of; perhaps none.
    """

    real: ImageSet
    filtered: ImageSet
    unfiltered: ImageSet
    spare: ImageSet
    pseudo_labelled: ImageSet

    @property
    def gan_seeds(self) -> Labels:
        """The GANs that filtered images come from, rising."""
        return np.unique(self.filtered.manifest["gan_seed"].to_numpy(np.int64))


@dataclass(frozen=True)
class TrainingSet:
    """The two parts of what one run trains on; either may be empty, not both."""

    real: ImageSet
    added: ImageSet


def arm_table(fractions: Iterable[float]) -> dict[str, Arm]:
    """Return every arm by name: `ARM_TABLE`, and `CLASSICAL` on each share of the real images."""
    return ARM_TABLE | {fraction_arm(share): Arm(share=share) for share in fractions}


def missing_images(arm: Arm, stock: Stock) -> str | None:
    """Return why an arm cannot be run for want of images, None if it can."""
    if arm.added == "pseudo-labelled" and not len(stock.pseudo_labelled):
        return "no unlabelled image got a label"
    counts = _counts(stock.real, stock)
    wanted = _quotas(arm.share, stock) - counts
    for name, lack, there in zip(
        stock.real.class_names, wanted, _counts(stock.spare, stock), strict=True
    ):
        if lack > there:
            return f"class {name!r} would need {lack} more labelled images; {there} are to spare"
    return None


def gan_seed_of(run: int, gan_seeds: Labels) -> int:
    """Return the GAN behind the run-th classifier seed: seeds are nested in GANs, in turn."""
    return int(gan_seeds[run % len(gan_seeds)])


def training_set(arm: Arm, stock: Stock, *, gan_seed: int, seed: int) -> TrainingSet:
    """Return what one run of `arm` trains on.

    Args:
        arm: a row of the table.
        stock: what there is.
        gan_seed: the one GAN whose images, or whose number of images, the run is about.
        seed: of the classifier; draws which real images a share or a repetition takes.
    """
    added = ADDED[arm.added](stock, gan_seed, seed) if arm.added else stock.filtered.take([])
    return TrainingSet(_real_share(arm.share, stock, seed), added)


def _real_share(share: float, stock: Stock, seed: int) -> ImageSet:
    """A share of each class, at least one image; a larger share holds the smaller one."""
    if share == 1.0:
        return stock.real
    wanted = _quotas(share, stock)
    own = stock.real.take(_some(stock.real, wanted, seed))
    more = _some(stock.spare, wanted - _counts(stock.real, stock), seed)
    return concatenate([own, stock.spare.take(more)]) if len(more) else own


def _filtered(stock: Stock, gan_seed: int, seed: int) -> ImageSet:
    return _of_gan(stock.filtered, gan_seed)


def _unfiltered(stock: Stock, gan_seed: int, seed: int) -> ImageSet:
    """As many of each class as the GAN has filtered images of it, in the order of the set."""
    pool = _of_gan(stock.unfiltered, gan_seed)
    wanted = _counts(_of_gan(stock.filtered, gan_seed), stock)
    return pool.take(_first(pool.labels, wanted))


def _duplicated(stock: Stock, gan_seed: int, seed: int) -> ImageSet:
    """Real images again, in each class as many as the GAN has filtered images of it."""
    wanted = _counts(_of_gan(stock.filtered, gan_seed), stock)
    drawn = np.random.default_rng([seed, 6]).permutation(len(stock.real))
    rows = [
        np.resize(drawn[stock.real.labels[drawn] == label], count)
        for label, count in enumerate(wanted)
    ]
    return stock.real.take(np.concatenate(rows))


def _pseudo_labelled(stock: Stock, gan_seed: int, seed: int) -> ImageSet:
    return stock.pseudo_labelled


ADDED: Mapping[str, Callable[[Stock, int, int], ImageSet]] = {
    "filtered": _filtered,
    "unfiltered": _unfiltered,
    "duplicated": _duplicated,
    "pseudo-labelled": _pseudo_labelled,
}


def _of_gan(images: ImageSet, gan_seed: int) -> ImageSet:
    return images.take(images.manifest["gan_seed"].to_numpy(np.int64) == gan_seed)


def _counts(images: ImageSet, stock: Stock) -> Labels:
    """Images of each of the K classes."""
    return np.bincount(images.labels, minlength=len(stock.real.class_names))


def _quotas(share: float, stock: Stock) -> Labels:
    """Images that a share takes of each class: rounded half up, at least 1 of a share above 0."""
    wanted = np.floor(share * _counts(stock.real, stock) + 0.5).astype(np.int64)
    quotas: Labels = np.maximum(wanted, 1) if share else wanted
    return quotas


def _some(images: ImageSet, wanted: Labels, seed: int) -> Rows:
    """Rows drawn by seed, so many of each class, none where `wanted` is below 0."""
    drawn = np.random.default_rng([seed, 5]).permutation(len(images))
    return np.sort(drawn[_first(images.labels[drawn], wanted)])


def _first(labels: Labels, wanted: Labels) -> Rows:
    """The first rows of each class, as many as wanted of it, rising."""
    rows = [np.flatnonzero(labels == label)[: max(0, n)] for label, n in enumerate(wanted)]
    return np.sort(np.concatenate(rows)).astype(np.int64)
