"""Small ImageSets of random pixels, without a file or a GAN."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tasks.contracts.image_set import SHARES, Images, ImageSet, image_id

CHECKPOINT = "ab" * 32


def image_set(images: Images, labels: Sequence[int], names: Sequence[str], **columns) -> ImageSet:
    """A real set, its ids true to the pixels; ``columns`` override or add to the manifest."""
    ids = [image_id(image) for image in images]
    manifest = pd.DataFrame(
        {
            "image_id": pd.Series(ids, dtype="str"),
            "label": np.asarray(labels, dtype=np.int64),
            "class_name": pd.Series([names[label] for label in labels], dtype="str"),
            "origin": "real",
            "source": [f"{ids[row][:8]}.png" for row in range(len(ids))],
            "group": ids,
        }
    )
    return ImageSet(images, manifest.assign(**columns))


def noise_set(
    per_class: int,
    names: Sequence[str] = ("cat", "dog"),
    seed: int = 0,
    shape: tuple[int, int, int] = (8, 8, 1),
    **columns,
) -> ImageSet:
    """Every class alike: uniform noise. Sets of different seeds share no image."""
    labels = np.repeat(np.arange(len(names)), per_class)
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (len(labels), *shape), dtype=np.uint8)
    return image_set(images, labels, names, **columns)


def related(images: ImageSet) -> ImageSet:
    """The same images as of related classes, with other names."""
    names = "related " + images.manifest["class_name"]
    return ImageSet(images.images, images.manifest.assign(class_name=names))


def soft_set(per_class: int, names: Sequence[str] = ("cat", "dog"), seed: int = 0) -> ImageSet:
    """Noise with soft labels drawn at random, mostly of each image's own class."""
    hard = noise_set(per_class, names, seed)
    drawn = np.random.default_rng(seed).dirichlet(np.ones(len(names)), len(hard)) / 2
    shares = (drawn + np.eye(len(names))[hard.labels] / 2).astype(np.float32)
    soft = pd.Series(list(shares), dtype=object)
    return ImageSet(hard.images, hard.manifest.assign(**{SHARES: soft}))


def synthetic_set(per_class: int, gan_seed: int, names: Sequence[str] = ("cat", "dog")) -> ImageSet:
    """What the filter accepts of one GAN; latent seeds too large for a float."""
    made = noise_set(per_class, names, seed=1000 + gan_seed)
    latent = np.arange(len(made)) + 2**60 + 1
    manifest = made.manifest.assign(
        origin="synthetic",
        source=[f"{CHECKPOINT}:{number}" for number in latent],
        gan_seed=gan_seed,
        latent_seed=latent,
        checkpoint=CHECKPOINT,
        p_real=0.5,
        confidence=0.9,
        nearest_distance=1.5,
    )
    return ImageSet(made.images, manifest)
