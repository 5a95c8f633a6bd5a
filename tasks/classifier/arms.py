"""The arms of the comparison: one recipe, and beside the real images an addition of `ADDITIONS`.

Arms differ in the addition alone, or in how many of the real images they train on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.classifier.examples import Examples, Rows
from tasks.classifier.pasting import pasted
from tasks.classifier.training_data import TrainingData
from tasks.contracts.arms import (
    ADAPTED,
    AFTER_OTHER_DOMAIN,
    REAL,
    SYNTHETIC_ONLY,
    fraction_arm,
)
from tasks.contracts.image_set import Labels
from tasks.contracts.params.retrain import EntryName
from tasks.data.tallies import is_rare


@dataclass(frozen=True)
class Arm:
    """A recipe and an addition: how an arm's classifier is trained, and on what.

    Attributes:
        recipe: a key of `RECIPES`.
        addition: which images stand beside the real ones, a key of `ADDITIONS`; None: none.
        share: of the real training images: 0 none, 1 all, above 1 spare ones beside.
        entry: when the added images are shown, a key of `ENTRIES`; None: as ``retrain.schedule``
            says.
        adapted: once trained, batch norm's statistics are taken anew, of real images alone.
    """

    recipe: str
    addition: str | None = None
    share: float = 1.0
    entry: EntryName | None = None
    adapted: bool = False


FROM_GAN = ("filtered", "unfiltered")  # of `ADDITIONS`
_NO_ROWS = np.array([], dtype=np.int64)


@dataclass(frozen=True)
class TrainingSet:
    """What one run trains on.

    Attributes:
        real: the real images; perhaps none.
        added: the images beside them; perhaps none, but not of both.
        stand_ins: real images in place of added ones, where some class is given none: each class
            is filled up with them to as many as it has real images, so that every class weighs
            as much as before and an added image is shown no more often than a real one.
    """

    real: Examples
    added: Examples
    stand_ins: Examples


def arm_table(recipe: str, fractions: Iterable[float]) -> dict[str, Arm]:
    """Return every arm by name, all of one recipe.

    The real images alone, with each addition, the accepted synthetic images alone, and each share
    of the real images. Images of another domain are also shown before the real ones, which is
    pretraining on them and fine-tuning, and batch norm is adapted from them to the real ones.
    """
    added = {f"{REAL}+{addition}": Arm(recipe, addition) for addition in ADDITIONS}
    without = {name: arm for name, arm in added.items() if arm.addition not in FROM_GAN}
    return {
        REAL: Arm(recipe),
        **without,
        AFTER_OTHER_DOMAIN: Arm(recipe, "other domain", entry="pretrain"),
        ADAPTED: Arm(recipe, "other domain", adapted=True),
        **added,
        SYNTHETIC_ONLY: Arm(recipe, "filtered", share=0.0),
        **{fraction_arm(share): Arm(recipe, share=share) for share in fractions},
    }


def missing_images(arm: Arm, data: TrainingData) -> str | None:
    """Return why an arm cannot be run for want of images, None if it can."""
    counts = _counts(data.real, data)
    if arm.addition == "pasted" and not is_rare(counts).any():
        return "it is the control of rare classes, and none has half the images of another or fewer"
    if arm.addition == "distilled" and not len(data.distilled):
        return "it is the control of soft labels, and quality_filter.labels is hard"
    if arm.addition == "pseudo-labelled" and not len(data.pseudo_labelled):
        return "there is no unlabelled image, or none got a label"
    if arm.addition == "other domain" and not len(data.other_domain):
        return "there is no image of another domain"
    if not arm.share:  # nothing real
        for gan_seed, images in data.filtered.items():
            for name, count in zip(data.class_names, _counts(images, data), strict=True):
                if not count:
                    return f"class {name!r} is given no image of GAN {gan_seed}"
    wanted = _quotas(arm.share, data) - counts
    for name, lack, there in zip(data.class_names, wanted, _counts(data.spare, data), strict=True):
        if lack > there:
            return f"class {name!r} would need {lack} more labelled images; {there} are to spare"
    return None


def gan_seed_of(run: int, gan_seeds: Sequence[int]) -> int:
    """Return the GAN behind the run-th classifier seed: seeds are nested in GANs, in turn."""
    return gan_seeds[run % len(gan_seeds)]


def training_set(arm: Arm, data: TrainingData, *, gan_seed: int, seed: int) -> TrainingSet:
    """Return what one run of `arm` trains on.

    Args:
        arm: a row of the table.
        data: what there is.
        gan_seed: the one GAN whose images, or whose number of images, the run is about.
        seed: of the classifier; draws which real images a share or a repetition takes.
    """
    made = None if arm.addition is None else ADDITIONS[arm.addition](data, gan_seed, seed)
    added = data.real.take(_NO_ROWS) if made is None else made
    real = _real_share(arm.share, data, seed)
    return TrainingSet(real, added, real.take(_stand_ins(real, added, data, seed)))


def _stand_ins(real: Examples, added: Examples, data: TrainingData, seed: int) -> Rows:
    """Rows of real images that fill up each class; none where every class is given some."""
    given = _counts(added, data)
    if not len(added) or not len(real) or given.all():
        return _NO_ROWS
    return _some(real, _counts(real, data) - given, seed)


def _real_share(share: float, data: TrainingData, seed: int) -> Examples:
    """A share of each class, at least one image; a larger share holds the smaller one."""
    if share == 1.0:
        return data.real
    wanted = _quotas(share, data)
    own = data.real.take(_some(data.real, wanted, seed))
    more = _some(data.spare, wanted - _counts(data.real, data), seed)
    return own.joined(data.spare.take(more)) if len(more) else own


def _as_filtered(images: Examples, data: TrainingData, gan_seed: int) -> Examples:
    """As many of each class as the GAN has filtered images of it, in the order of the set."""
    return images.take(_first(images.labels, _counts(data.filtered[gan_seed], data)))


def _repeated(data: TrainingData, gan_seed: int, seed: int) -> Examples:
    """Real images again, in each class as many as the GAN has filtered images of it."""
    return data.real.take(_rows_again(data, gan_seed, seed))


def _pasted(data: TrainingData, gan_seed: int, seed: int) -> Examples:
    """The same real images again, each with a piece of it pasted over another one."""
    return pasted(data.real, _rows_again(data, gan_seed, seed), len(data.class_names), seed)


def _rows_again(data: TrainingData, gan_seed: int, seed: int) -> Rows:
    wanted = _counts(data.filtered[gan_seed], data)
    drawn = np.random.default_rng([seed, 6]).permutation(len(data.real))
    rows = [
        np.resize(drawn[data.real.labels[drawn] == label], count)
        for label, count in enumerate(wanted)
    ]
    return np.concatenate(rows)


ADDITIONS: Mapping[str, Callable[[TrainingData, int, int], Examples]] = {
    "repeated": _repeated,
    "pasted": _pasted,
    "distilled": lambda data, gan_seed, seed: _as_filtered(data.distilled, data, gan_seed),
    "pseudo-labelled": lambda data, gan_seed, seed: data.pseudo_labelled,
    "other domain": lambda data, gan_seed, seed: data.other_domain,
    "unfiltered": lambda data, gan_seed, seed: _as_filtered(
        data.unfiltered[gan_seed], data, gan_seed
    ),
    "filtered": lambda data, gan_seed, seed: data.filtered[gan_seed],
}


def _counts(images: Examples, data: TrainingData) -> Labels:
    """Images of each of the K classes."""
    return np.bincount(images.labels, minlength=len(data.class_names))


def _quotas(share: float, data: TrainingData) -> Labels:
    """Images that a share takes of each class: rounded half up, at least 1 of a share above 0."""
    wanted = np.floor(share * _counts(data.real, data) + 0.5).astype(np.int64)
    quotas: Labels = np.maximum(wanted, 1) if share else wanted
    return quotas


def _some(images: Examples, wanted: Labels, seed: int) -> Rows:
    """Rows drawn by seed, so many of each class, none where `wanted` is below 0."""
    drawn = np.random.default_rng([seed, 5]).permutation(len(images))
    return np.sort(drawn[_first(images.labels[drawn], wanted)])


def _first(labels: Labels, wanted: Labels) -> Rows:
    """The first rows of each class, as many as wanted of it, rising."""
    rows = [np.flatnonzero(labels == label)[: max(0, n)] for label, n in enumerate(wanted)]
    return np.sort(np.concatenate(rows)).astype(np.int64)
