"""What arms and recipes are, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.contracts import arms

DEEDS = {
    arms.REAL: "training on the real images alone",
    arms.REPEATED: "repeating real images",
    arms.PASTED: "pasting pieces of real images over others",
    arms.DISTILLED: "adding changed real images under an ensemble's soft labels",
    arms.PSEUDO_LABELLED: "adding pseudo-labelled real images",
    arms.OTHER_DOMAIN: "adding the images of the other domain",
    arms.AFTER_OTHER_DOMAIN: "training on the images of the other domain first",
    arms.ADAPTED: "adding the images of the other domain and adapting batch norm",
    arms.UNFILTERED: "adding unfiltered GAN images",
    arms.FILTERED: "adding filtered GAN images",
    arms.SYNTHETIC_ONLY: "training on GAN images alone",
}
ROLES = {
    arms.REAL: "the real images alone",
    arms.REPEATED: "real images repeated, as many as GAN images are added",
    arms.PASTED: "real images repeated likewise, a piece of each pasted over another real image",
    arms.DISTILLED: "real images, changed and mixed, under the soft labels of the classifiers that "
    "also label the GAN images",
    arms.PSEUDO_LABELLED: "the unlabelled images themselves added, and no GAN images",
    arms.OTHER_DOMAIN: "the images of the other domain added as they are, and no GAN images",
    arms.AFTER_OTHER_DOMAIN: "trained on the images of the other domain, then on the real ones",
    arms.ADAPTED: "the images of the other domain added as they are, and batch norm then adapted "
    "to your own images",
    arms.UNFILTERED: "GAN images added at random",
    arms.FILTERED: "GAN images added that passed the filter",
    arms.SYNTHETIC_ONLY: "accepted GAN images alone",
}

ENTRIES = {
    "mixed": "at each step all arms see the same real images, and what an arm adds stands beside "
    "them",
    "pretrain": "all arms see the same real images in the same order, and what an arm adds is "
    "shown before them, in steps of its own",
    "decayed": "at each step all arms see the same real images, and what an arm adds stands beside "
    "them, twice as much at first and none in the end",
}
_SEPARATE = "; in training it is normalised by batch statistics of its own"
RECIPES = {
    "plain": "no augmentation",
    "classical": "rotation, shift, scale, brightness and contrast",
    "mixup": "classical augmentation, and images blended by MixUp or CutMix",
    "smoothing": "classical augmentation and label smoothing",
    "trivial": "TrivialAugment",
}


def exposure(retrained: Mapping[str, Any]) -> str:
    """Return how arms are shown what they add, by ``retrain.json``; former versions said less."""
    said = ENTRIES[retrained.get("schedule", "mixed")]
    return said + _SEPARATE if retrained.get("batch_norm") == "separate" else said
