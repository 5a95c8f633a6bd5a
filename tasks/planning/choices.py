"""The settings for a data set that was looked at, one reason each."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.data.tallies import is_rare
from tasks.planning.looks import Look
from tasks.planning.mirror import Mirror

CAP, CAP_GPU = 32, 64  # pixels
_FEW = 10  # training images of a class
_FOLDS = 5
_FOLDS_UP_TO = 40  # images of the rarest class: of more, a share leaves 16 and more to test on
_EPOCHS = 5  # of the shortest training that is tried
_FASTER = 1.25  # times, from which fewer bits are worth another rounding


@dataclass(frozen=True)
class Choice:
    """One setting, and why."""

    key: str
    value: object
    why: str

    @property
    def setting(self) -> str:
        """Return it as ``--set`` takes it."""
        return f"{self.key}={json.dumps(self.value)}"


def image_choices(look: Look, *, gpu: bool) -> list[Choice]:
    """Return how images are cut: what must be settled before any can be decoded."""
    side = float(np.median(look.sizes.min(axis=1)))
    cap = CAP_GPU if gpu else CAP
    size = int(min(cap, max(8, 2 ** round(math.log2(side)))))
    why = f"the originals' shorter side has a median of {side:.0f} pixels"
    if side > cap * 1.5:
        where = "with a GPU" if gpu else "on a CPU"
        why += f"; the plan chooses at most {cap} {where}, since twice that takes 4 times as long"
    shape = look.sizes.max(axis=1) / look.sizes.min(axis=1)
    square = float(np.mean(shape <= 1.1))
    return [
        Choice("ingest.image_size", size, why),
        Choice(
            "ingest.channels",
            "auto",
            "grey in every image looked at: 1 channel" if look.grey else "colour: 3 channels",
        ),
        Choice(
            "ingest.fit",
            "pad",
            f"{square:.0%} of the images are square; padding cuts nothing off the others",
        ),
        *_shares(look),
        Choice("ingest.per_class", None, "every training image is used"),
    ]


def _shares(look: Look) -> Iterator[Choice]:
    name, rarest = look.rarest
    # named groups may be fewer than the folds, and twins that ingest joins make some fewer
    takes_folds = not look.given and not look.groups and 2 * _FOLDS <= rarest <= _FOLDS_UP_TO
    folds = _FOLDS if takes_folds else None
    why = "test/ is given" if "test" in look.given else "the shares decide what is tested on"
    if folds:
        why = (
            f"{name!r} has {rarest} images, too few to keep some from training for good: every "
            f"image is tested on once, in {folds} times the time (null is one split by shares)"
        )
    yield Choice("ingest.folds", folds, why)
    wanted = {"val": (12, 0.1, 0.2), "test": (30, 0.2, 0.4)}
    for split, (images, least, most) in wanted.items():
        share = round(min(most, max(least, images / rarest)), 2)
        if split in look.given:
            why = f"not used: {split}/ is given"
        elif folds and split == "test":
            why = "not used: each fold is tested on in turn"
        else:
            why = f"about {share * rarest:.0f} of the {rarest} images of {name!r}, the rarest class"
        yield Choice(f"ingest.{split}_share", share, why)


def training_choices(
    look: Look, expected: dict[str, dict[str, int]], size: int, mirror: Mirror, gain: float
) -> list[Choice]:
    """Return everything else, from the images that each split is going to hold.

    Args:
        look: the data.
        expected: images by split and class.
        size: of an image, in pixels.
        mirror: whether a mirrored image keeps its class.
        gain: how many times as fast the classifier's steps are with bfloat16.
    """
    train, total = expected["train"].values(), sum(expected["train"].values())
    fewest = min(train)
    gates = [
        Choice(
            f"validate.min_{split}_per_class",
            max(floor, min(usual, least // 2)),
            f"about {least} {split} images are expected in the rarest class",
        )
        for split, floor, usual in (("train", 2, 2), ("val", 1, 5), ("test", 1, 10))
        for least in [min(expected[split].values())]
    ]
    few = [
        Choice(f"train_gan.penalties.{term}", 0.3, f"preset few: {fewest} images in a class")
        for term in ("r1", "r2")
        if fewest <= _FEW
    ]
    target = _target(expected["train"], look)
    beside = bool(look.related) and not _turns(look)
    preset = "related" if beside else "rare"
    varied = Choice("train_gan.penalties.mode_seeking", 1.0, f"preset {preset}: images that differ")
    variety = [varied] if beside or target.value == "balance" else []
    learned = bool(variety) or _turns(look)  # a class is shown more images than it has
    steps, most_steps = lengths_for(total)
    told = f"{mirror.told_apart:.0%} of {mirror.images} images are told from their mirror images"
    if mirror.images == 0:
        told = "too few images of a class to tell whether mirroring is safe"
    return [
        *gates,
        _length(fewest, size, learned=learned),
        *few,
        *variety,
        *_translation(look),
        *_related(look),
        *_trust(fewest, learned=learned),
        *_unlabelled(look),
        Choice("generate.per_class", "auto", "it follows from what the merge asks for"),
        target,
        Choice(
            "retrain.steps", steps, f"{_EPOCHS} rounds of {total} training images, at least 200"
        ),
        Choice("retrain.most_steps", most_steps, "three doublings, while real/val still gains"),
        Choice("retrain.flip", mirror.plausible, f"{told}; chance is 50%"),
        Choice(
            "retrain.precision",
            "bfloat16" if gain >= _FASTER else "float32",
            f"steps with bfloat16 are {gain:.1f} times as fast on this processor",
        ),
    ]


def lengths_for(total: int) -> tuple[int, int]:
    """Return ``retrain.steps`` and ``retrain.most_steps`` for so many training images."""
    steps = max(200, 50 * math.ceil(_EPOCHS * total / 64 / 50))
    return steps, 8 * steps


def _length(fewest: int, size: int, *, learned: bool) -> Choice:
    """Return how long GANs are trained on images of so many pixels a side.

    Args:
        fewest: training images of a class.
        size: in pixels.
        learned: many images are made of a class that has few.
    """
    kimg = {8: 88, 16: 88, 32: 120}.get(size, 160)
    why = "88 up to 16 pixels, 120 at 32, 160 above"
    if learned and fewest <= _FEW and size <= 16:
        kimg, why = 48, f"from then on a GAN learns the {fewest} images of a class by heart"
    return Choice("train_gan.total_kimg", kimg, why)


def _translation(look: Look) -> Iterator[Choice]:
    """Yield the settings of the preset ``translator`` where every class can be translated."""
    if not _turns(look):
        return
    why = "labelled images of another domain are turned into such of yours: preset translator"
    yield Choice("train_gan.network", "translator", why)
    for term, weight in (("mode_seeking", 0.3), ("reconstruction", 2.0)):
        yield Choice(f"train_gan.penalties.{term}", weight, "preset translator")


def _related(look: Look) -> Iterator[Choice]:
    if look.related and _turns(look):
        why = "translators know two domains of the same classes; classifiers learn of related ones"
        yield Choice("train_gan.related", "none", why)
    elif look.related:
        number = sum(look.related.values())
        why = f"preset related: GANs learn {number} images of {len(look.related)} other classes too"
        yield Choice("train_gan.related", "joint", why)


def _trust(fewest: int, *, learned: bool) -> Iterator[Choice]:
    if learned and fewest <= _FEW:
        why = f"classifiers that saw {fewest} images of a class reject what would teach most"
        yield Choice("quality_filter.confidence_quantile", 0.0, why)


def _unlabelled(look: Look) -> Iterator[Choice]:
    if look.unlabelled:
        why = f"preset unlabelled: GANs learn from {look.unlabelled} images without a label too"
        yield Choice("train_gan.unlabelled", "pseudo_label+unconditional", why)


def _turns(look: Look) -> bool:
    return all(look.other_domain.get(name) for name in look.counts)


def _target(train: dict[str, int], look: Look) -> Choice:
    if _turns(look):
        fewest = min(look.other_domain.values())
        why = f"each class has {fewest} images or more of the other domain, to be turned into yours"
        return Choice("merge.target_per_class", max(train.values()) + fewest, why)
    rarest = min(train, key=lambda name: (train[name], name))
    fewest, most = train[rarest], max(train.values())
    if look.related:
        usual = round(float(np.median(list(look.related.values()))))
        why = f"a related class has about {usual} images, whose variety GANs carry over"
        return Choice("merge.target_per_class", most + usual, why)
    loose = look.unlabelled // len(train)
    if loose > most:
        why = f"GANs that learn from {loose} more images of each class know more than as many again"
        return Choice("merge.target_per_class", most + loose, why)
    if not is_rare(list(train.values())).any():
        why = f"classes are about even: {fewest} to {most} training images"
        return Choice("merge.target_per_class", "ratio", why)
    why = f"{rarest!r} has {fewest} training images, another class {most}: preset rare"
    return Choice("merge.target_per_class", "balance", why)
