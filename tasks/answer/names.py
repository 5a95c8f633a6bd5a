"""What arms and recipes are, in words."""

from __future__ import annotations

from tasks.contracts import arms

DEEDS = {
    arms.REAL: "training on the real images alone",
    arms.REPEATED: "repeating real images",
    arms.DISTILLED: "adding changed real images under an ensemble's soft labels",
    arms.PSEUDO_LABELLED: "adding pseudo-labelled real images",
    arms.OTHER_DOMAIN: "adding the images of the other domain",
    arms.AFTER_OTHER_DOMAIN: "training on the images of the other domain first",
    arms.UNFILTERED: "adding unfiltered GAN images",
    arms.FILTERED: "adding filtered GAN images",
    arms.SYNTHETIC_ONLY: "training on GAN images alone",
}
ROLES = {
    arms.REAL: "the real images alone",
    arms.REPEATED: "real images repeated, as many as GAN images are added",
    arms.DISTILLED: "real images, changed and mixed, under the soft labels of the classifiers that "
    "also label the GAN images",
    arms.PSEUDO_LABELLED: "the unlabelled images themselves added, and no GAN images",
    arms.OTHER_DOMAIN: "the images of the other domain added as they are, and no GAN images",
    arms.AFTER_OTHER_DOMAIN: "trained on the images of the other domain, then on the real ones",
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
RECIPES = {
    "plain": "no augmentation",
    "classical": "rotation, shift, scale, brightness and contrast",
    "mixup": "classical augmentation, and images blended by MixUp or CutMix",
    "smoothing": "classical augmentation and label smoothing",
    "trivial": "TrivialAugment",
}
