"""The arms of the comparison: what each trains on. An arm is one row of `ARM_TABLE`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tasks.contracts.image_set import ImageSet, Labels, concatenate


@dataclass(frozen=True)
class Arm:
    """What an arm's classifier is trained on.

    Attributes:
        real: the real training images are in it.
        synthetic: which synthetic images join, if any: ``filtered`` (accepted by the filter)
            or ``control`` (as many, at random from the pool).
        augment: classical augmentation is applied.
    """

    real: bool
    synthetic: Literal["filtered", "control"] | None
    augment: bool


ARM_TABLE = {
    "real": Arm(real=True, synthetic=None, augment=False),
    "real+classical": Arm(real=True, synthetic=None, augment=True),
    "real+classical+control": Arm(real=True, synthetic="control", augment=True),
    "real+classical+filtered": Arm(real=True, synthetic="filtered", augment=True),
    "synthetic only": Arm(real=False, synthetic="filtered", augment=False),
}


def gan_seed_of(run: int, gan_seeds: Labels) -> int:
    """Return the GAN behind the run-th classifier seed: seeds are nested in GANs, in turn."""
    return int(gan_seeds[run % len(gan_seeds)])


def training_set(arm: Arm, merged: ImageSet, control: ImageSet, gan_seed: int) -> ImageSet:
    """Return what `arm` trains on, its synthetic images from one GAN alone.

    The control images are cut to the number of filtered ones in each class, so that the two
    arms differ in choice only.
    """
    origin = merged.manifest["origin"].to_numpy()
    real = merged.take(origin == "real")
    if arm.synthetic is None:
        return real
    from_gan = (merged.manifest["gan_seed"] == gan_seed).fillna(False).to_numpy(np.bool_)
    filtered = merged.take((origin == "synthetic") & from_gan)
    synthetic = filtered
    if arm.synthetic == "control":
        pool = control.take(control.manifest["gan_seed"].to_numpy() == gan_seed)
        synthetic = pool.take(_match_counts(pool.labels, filtered.labels))
    return concatenate([real, synthetic]) if arm.real else synthetic


def _match_counts(labels: Labels, wanted: Labels) -> npt.NDArray[np.int64]:
    """The first rows of each class, as many as `wanted` has of it."""
    rows = [
        np.flatnonzero(labels == label)[: int((wanted == label).sum())]
        for label in np.unique(wanted)
    ]
    return np.sort(np.concatenate(rows)).astype(np.int64)
