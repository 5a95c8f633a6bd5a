"""Pools of a known effect: real images in the rows of a GAN's, to see what the verdict says.

Every image has one pixel moved by one grey level of 255, too little to matter to a classifier. It
has to differ: ids are the sha256 of the pixels, and the gate before training wants each of them
once, and none that is a real image's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images, ImageSet, Labels, image_id

Rows = npt.NDArray[np.int64]


def resampled(labels: Labels, gans: int, per_class: int, rng: np.random.Generator) -> list[Rows]:
    """Draw ``per_class`` rows of each class with replacement, anew for each of the GANs."""
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return [np.concatenate([rng.choice(own, per_class) for own in classes]) for _ in range(gans)]


def dealt(labels: Labels, gans: int, per_class: int, rng: np.random.Generator) -> list[Rows]:
    """Deal each class out to the GANs, up to ``per_class`` each, no row to two of them.

    Raises:
        UserError: a class has too few images to give every GAN one.
    """
    hands: list[list[Rows]] = [[] for _ in range(gans)]
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        share = min(per_class, len(own) // gans)
        if share == 0:
            reason = f"has {len(own)} unseen images for {gans} GANs"
            raise UserError(f"class {label}", reason, "Lower ingest.per_class, or the GANs")
        for number, hand in enumerate(hands):
            hand.append(own[number * share : (number + 1) * share])
    return [np.concatenate(hand) for hand in hands]


@dataclass(frozen=True)
class Pool:
    """What a pool is made of: real images of this split, the rows of each GAN drawn like this."""

    split: str
    draw: Callable[[Labels, int, int, np.random.Generator], list[Rows]]


POOLS = {
    "null": Pool("train", resampled),  # nothing that real/train does not hold
    "planted": Pool("spare", dealt),  # what a perfect GAN would make
}


def make_pool(
    mode: str,
    source: ImageSet,
    checkpoints: Mapping[int, str],
    per_class: int,
    known: set[str],
    rng: np.random.Generator,
) -> ImageSet:
    """Return a pool as `generate` would write it, of real images.

    Args:
        mode: of `POOLS`.
        source: the split that it names.
        checkpoints: hash of each GAN's checkpoint by its seed.
        per_class: images of each class from each GAN; of a planted pool the most.
        known: ids of every real image; none of the pool's is among them, nor twice in it.
        rng: of every draw.
    """
    hands = POOLS[mode].draw(source.labels, len(checkpoints), per_class, rng)
    taken = set(known)
    parts = []
    for (gan_seed, checkpoint), rows in zip(checkpoints.items(), hands, strict=True):
        images = np.stack([_unlike(source.images[row], taken, rng) for row in rows])
        parts.append((images, _manifest(source.manifest.iloc[rows], images, gan_seed, checkpoint)))
    manifest = pd.concat([manifest for _, manifest in parts], ignore_index=True)
    return ImageSet(np.concatenate([images for images, _ in parts]), manifest)


def _unlike(image: Images, taken: set[str], rng: np.random.Generator) -> Images:
    """Move one pixel by one grey level so that the id is new, and note the id as taken."""
    for pixel in rng.permutation(image.size):
        moved = np.array(image)
        grey = int(moved.flat[pixel])
        moved.flat[pixel] = grey + 1 if grey < 255 else grey - 1
        if (name := image_id(moved)) not in taken:
            taken.add(name)
            return moved
    raise ValueError(f"an image of {image.size} values occurs more than as many times")


def _manifest(real: pd.DataFrame, images: Images, gan_seed: int, checkpoint: str) -> pd.DataFrame:
    ids = [image_id(image) for image in images]
    latent_seeds = np.arange(len(ids), dtype=np.int64)
    return pd.DataFrame(
        {
            "image_id": ids,
            "label": real["label"].to_numpy(np.int64),
            "class_name": real["class_name"].to_numpy(),
            "origin": "synthetic",
            "source": [f"{checkpoint}:{number}" for number in latent_seeds],
            "group": ids,
            "gan_seed": np.int64(gan_seed),
            "latent_seed": latent_seeds,
            "checkpoint": checkpoint,
        }
    )
