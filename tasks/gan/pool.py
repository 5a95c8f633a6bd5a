"""Labelled synthetic images of one checkpoint, as an ImageSet that names how to make each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tasks.contracts.image_set import ImageSet, Labels, image_id
from tasks.gan.checkpoint import checkpoint_hash, load_config, load_generator
from tasks.gan.sampling import sample

_FRESH = 2**61  # where latent seeds of images that never join a pool begin
_SPAN = 2**20  # latent seeds set aside for each class, and classes for each root seed


def make_pool(folder: Path, gan_seed: int, per_class: int, seed: int) -> ImageSet:
    """Make ``per_class`` images of each class: rows sorted by class, latent seeds in order.

    ``seed`` moves the latent seeds, so another root seed draws another pool. A larger
    ``per_class`` (up to 2**20) keeps the images of a smaller one and adds to each class.
    """
    names = load_config(folder)["class_names"]
    labels = np.repeat(np.arange(len(names), dtype=np.int64), per_class)
    number = np.tile(np.arange(per_class, dtype=np.int64), len(names))
    return _make(folder, gan_seed, labels, (seed % _SPAN * _SPAN + labels) * _SPAN + number)


def make_fresh(folder: Path, gan_seed: int, labels: Labels, seed: int) -> ImageSet:
    """Make one image for each label from latents that no pool uses: fakes to calibrate with."""
    first = _FRESH + seed % _SPAN * _SPAN
    return _make(folder, gan_seed, labels, first + np.arange(len(labels), dtype=np.int64))


def _make(folder: Path, gan_seed: int, labels: Labels, latent_seeds: Labels) -> ImageSet:
    torch.set_num_threads(1)  # as in training: the bytes must not depend on the cores there are
    names = np.array(load_config(folder)["class_names"], dtype=object)
    images = sample(load_generator(folder), labels, latent_seeds)
    checkpoint = checkpoint_hash(folder)
    ids = [image_id(image) for image in images]
    manifest = pd.DataFrame(
        {
            "image_id": ids,
            "label": labels,
            "class_name": names[labels],
            "origin": "synthetic",
            "source": [f"{checkpoint}:{latent_seed}" for latent_seed in latent_seeds],
            "group": ids,
            "gan_seed": np.int64(gan_seed),
            "latent_seed": latent_seeds,
            "checkpoint": checkpoint,
        }
    )
    return ImageSet(images, manifest)
