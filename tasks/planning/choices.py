"""Settings for a data set that has not been seen before, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ImageOps
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from tasks.data.decoding import to_pixels
from tasks.planning.survey import Survey

SIZES = (8, 16, 32, 64)
_FEW = 10  # training images of a class, from which on the GAN needs no special care
_PROBE = 16  # pixels
_LIKE = 0.6  # share of mirrored images told from originals, below which mirroring is plausible
_LEAST_TO_TELL = 40


@dataclass(frozen=True)
class Choice:
    """A setting, as ``SECTION.KEY``, and why."""

    key: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Shares:
    """Images of each class in each split, as a draw by chance is expected to give them."""

    train: Sequence[int]
    val: Sequence[int]
    test: Sequence[int]


def largest_size(seen: Survey) -> int:
    """Return the largest of `SIZES` that enlarges no more than half of the images."""
    fitting = [size for size in SIZES if size <= seen.shorter_side]
    return fitting[-1] if fitting else SIZES[0]


def shares(seen: Survey, val_share: float, test_share: float) -> Shares:
    """Return how many images of each class every split will have, classes by name."""

    def part(split: str, share: float) -> list[int]:
        if split in seen.given:
            return [seen.given[split].get(name, 0) for name in seen.counts]
        free = [
            count - sum(part.get(name, 0) for held, part in seen.given.items() if held != "train")
            for name, count in seen.counts.items()
        ]
        return [round(share * count) for count in free]

    val, test = part("val", val_share), part("test", test_share)
    train = [
        count - two - three
        for count, two, three in zip(seen.counts.values(), val, test, strict=True)
    ]
    return Shares(train, val, test)


def choose(seen: Survey, size: int, why_size: str) -> list[Choice]:
    """Return the settings for a source.

    Args:
        seen: what it holds.
        size: `ingest.image_size`.
        why_size: the reason.
    """
    rarest, fewest = seen.rarest
    val_share, test_share, why = _shares(seen, rarest, fewest)
    parts = shares(seen, val_share, test_share)
    flip, why_flip = mirrored(seen)
    unbalanced = max(parts.train) >= 2 * max(1, min(parts.train))
    chosen = [
        Choice("ingest.image_size", size, why_size),
        Choice("ingest.per_class", None, "every image is used"),
        Choice("ingest.imbalance", 1, "classes keep the numbers they have"),
        Choice("ingest.label_fraction", 1.0, "every label is used"),
        Choice("ingest.val_share", val_share, why),
        Choice("ingest.test_share", test_share, why),
        *_gate(parts),
        *_gan(sum(parts.train), min(parts.train), size),
        Choice("retrain.flip", flip, why_flip),
    ]
    if unbalanced:
        reason = f"{rarest} has {min(parts.train)} training images, the largest class "
        reason += f"{max(parts.train)}: rare classes are brought up, frequent ones get none"
        chosen.append(Choice("merge.target_per_class", "balance", reason))
    else:
        reason = "classes have about the same number of images"
        chosen.append(Choice("merge.target_per_class", "ratio", reason))
    chosen.append(Choice("generate.per_class", "auto", "it follows from what the merge asks for"))
    return chosen


def _shares(seen: Survey, rarest: str, fewest: int) -> tuple[float, float, str]:
    if seen.given:
        return 0.15, 0.3, f"the source gives {', '.join(seen.given)}; this is for what it lacks"
    if fewest >= 500:
        return 0.15, 0.25, f"{rarest}, the rarest class, has {fewest:,} images, enough to judge by"
    reason = f"{rarest}, the rarest class, has {fewest:,} images; only test images show a lift"
    return (0.15, 0.45, reason) if fewest >= 60 else (0.2, 0.4, reason)


def _gate(parts: Shares) -> list[Choice]:
    """What the gate asks: half of what is expected, and no more than is useful."""
    usual = {"train": 2, "val": 5, "test": 10}
    chosen = []
    for split, least in usual.items():
        expected = min(getattr(parts, split))
        value = max(2 if split == "train" else 1, min(least, expected // 2))
        reason = f"the rarest class is expected to have {expected} images there"
        chosen.append(Choice(f"validate.min_{split}_per_class", value, reason))
    return chosen


def _gan(images: int, fewest: int, size: int) -> list[Choice]:
    kimg = 88 if images <= 2000 else 132 if images <= 20_000 else 200
    reason = f"{images:,} training images at {size} pixels"
    weight = 0.3 if fewest <= _FEW else 0.1
    why = f"{fewest} training images in the rarest class"
    return [
        Choice("train_gan.total_kimg", kimg, reason),
        Choice("train_gan.penalties.r1", weight, why),
        Choice("train_gan.penalties.r2", weight, why),
    ]


def mirrored(seen: Survey) -> tuple[bool, str]:
    """Tell whether a mirrored image is as plausible as the original, and how that was found.

    A logistic regression on principal components is asked to tell them apart, each image and its
    mirror in one fold. Letters are told from their mirrors, cats are not.
    """
    if len(seen.sample) < _LEAST_TO_TELL:
        return False, f"{len(seen.sample)} images are too few to tell whether mirrors are plausible"
    originals = [image.convert("L") for image in seen.sample]
    both = [*originals, *(ImageOps.mirror(image) for image in originals)]
    pixels = [
        to_pixels(image, size=_PROBE, channels=1, fit="pad").reshape(-1) / 255.0 for image in both
    ]
    told = np.repeat([0, 1], len(originals))
    probe = make_pipeline(
        PCA(min(30, len(originals) // 2), random_state=0), LogisticRegression(max_iter=1000)
    )
    share = float(
        cross_val_score(
            probe,
            np.array(pixels),
            told,
            groups=np.tile(np.arange(len(originals)), 2),
            cv=GroupKFold(5),
        ).mean()
    )
    reason = f"mirrored images are told from originals in {share:.0%} of cases (50 % is chance)"
    return share < _LIKE, reason
