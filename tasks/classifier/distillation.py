"""Distillation without a GAN: real images, changed and mixed, under an ensemble's soft labels.

The control of soft labels for synthetic images (Ding et al. 2021, arXiv:2104.03164, distil by a
conditional GAN's images): it holds what the ensemble knows, and no image of a GAN.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from tasks.classifier.augmentation import classical
from tasks.classifier.certainty import Ensemble
from tasks.classifier.examples import Examples
from tasks.classifier.recipes import mixing
from tasks.classifier.training import Probabilities
from tasks.contracts.image_set import SHARES, ImageSet, image_id
from tasks.data.batches import to_images, to_tensor

_BATCH = 64  # images that are mixed with one another


def softly_labelled(images: ImageSet, shares: Probabilities) -> ImageSet:
    """Return the images with soft labels beside their own, float32 ``[N, K]``."""
    soft = pd.Series(list(shares), index=images.manifest.index, dtype=object)
    return ImageSet(images.images, images.manifest.assign(**{SHARES: soft}))


def distil(train: ImageSet, wanted: Mapping[int, int], ensemble: Ensemble, seed: int) -> ImageSet:
    """Return changed and mixed real images with the ensemble's soft labels.

    Each is a real image turned, shifted and recoloured (`classical`); every second batch is then
    mixed with itself by MixUp or CutMix. Its ``label`` is that of the first of the two, and what
    is learned are the soft labels alone.

    Args:
        train: real images ``[N, H, W, C]``.
        wanted: label -> images to make; of no label at all, none are made.
        ensemble: judges what was made.
        seed: of all draws; sets torch's global random state.
    """
    if not wanted:
        return train.take([])
    examples, rng = Examples.of(train), np.random.default_rng([seed, 9])
    drawn = rng.permutation(len(train))
    rows = np.concatenate(
        [np.resize(drawn[train.labels[drawn] == label], count) for label, count in wanted.items()]
    )
    rows = rng.permutation(rows)
    change, mix = classical(examples, flip=False), mixing(len(train.class_names))
    made = np.empty((len(rows), *train.image_shape), dtype=np.uint8)
    torch.manual_seed(int(np.random.SeedSequence([seed, 9]).generate_state(1)[0]))
    for number, start in enumerate(range(0, len(rows), _BATCH)):
        own = rows[start : start + _BATCH]
        images = change(to_tensor(examples.pixels(own)))
        if number % 2:
            images, _ = mix(images, torch.from_numpy(train.labels[own]))
        made[start : start + len(own)] = to_images(images)
    manifest = train.manifest.iloc[rows].reset_index(drop=True)
    found = ImageSet(made, manifest.assign(image_id=[image_id(image) for image in made]))
    return softly_labelled(found, ensemble.shares(found))
