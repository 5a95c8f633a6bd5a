"""All that arms train on, let in by the last gate: nothing held out, and every class is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tasks.classifier.examples import Examples
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet

_MEND = "Run `ganlift run --force`, which splits the images anew and makes every set of them"


@dataclass(frozen=True)
class TrainingData:
    """All that arms train on.

    Attributes:
        class_names: of the K classes, in the order of their labels.
        real: the N training images, of all K classes.
        filtered: by GAN seed, rising: synthetic images that the filter accepted.
        unfiltered: likewise, as many of each class, at random from the pool.
        distilled: real images, changed and mixed, under soft labels; perhaps none.
        spare: real images of the same classes that the cut left out; perhaps none.
        unlabelled: real images without a label; perhaps none.
        pseudo_labelled: images whose label an ensemble was sure of; perhaps none.
        other_domain: images of the same classes, taken otherwise; perhaps none.
    """

    class_names: tuple[str, ...]
    real: Examples
    filtered: Mapping[int, Examples]
    unfiltered: Mapping[int, Examples]
    distilled: Examples
    spare: Examples
    unlabelled: Examples
    pseudo_labelled: Examples
    other_domain: Examples

    @classmethod
    def of(
        cls,
        merged: ImageSet,
        control: ImageSet,
        distilled: ImageSet,
        spare: ImageSet,
        unlabelled: ImageSet,
        pseudo: ImageSet,
        other_domain: ImageSet,
    ) -> TrainingData:
        """Sort the images of the stages before: real ones, and those of each GAN.

        Args:
            merged: real and filtered images, with a column ``gan_seed``.
            control: unfiltered images, likewise.
            distilled: real images under soft labels.
            spare: labelled images that the cut left out.
            unlabelled: real images without a label.
            pseudo: pseudo-labelled images.
            other_domain: images of another domain.
        """
        real = np.flatnonzero(merged.manifest["origin"] == "real")
        named = merged.manifest[["label", "class_name"]].iloc[real].drop_duplicates()
        return cls(
            tuple(named.sort_values("label")["class_name"]),
            Examples.of(merged, real),
            _by_gan(merged),
            _by_gan(control),
            Examples.of(distilled),
            Examples.of(spare),
            Examples.of(unlabelled),
            Examples.of(pseudo),
            Examples.of(other_domain),
        )


def _by_gan(images: ImageSet) -> dict[int, Examples]:
    """Return the images of each GAN, by its seed, rising."""
    gan_of = images.manifest["gan_seed"]
    return {
        int(gan_seed): Examples.of(images, np.flatnonzero((gan_of == gan_seed).fillna(False)))
        for gan_seed in sorted(gan_of.dropna().unique())
    }


def refuse_leaks(trained: Mapping[str, ImageSet], held_out: Mapping[str, ImageSet]) -> None:
    """Refuse sets to train on that share an image, or a group of images, with one held out.

    Args:
        trained: every set that an arm may train on, by what a person calls it.
        held_out: every set that arms are compared on, likewise.

    Raises:
        UserError: a leak; names how many images, and one of them.
    """
    for held, judged in held_out.items():
        ids, groups = (set(judged.manifest[column]) for column in ("image_id", "group"))
        for name, images in trained.items():
            manifest = images.manifest
            leaked = manifest[manifest["image_id"].isin(ids) | manifest["group"].isin(groups)]
            if len(leaked):
                first = leaked.iloc[0]
                raise UserError(
                    name,
                    f"a leak: {len(leaked)} of its {len(images)} images, or of their groups, "
                    f"are in {held}, such as {first['source']} (id {first['image_id'][:12]})",
                    _MEND,
                )


def refuse_absent_classes(class_names: tuple[str, ...], held_out: Mapping[str, ImageSet]) -> None:
    """Refuse a set to judge on that lacks a class, or has one that nothing is trained on.

    Raises:
        UserError: names the class and the set.
    """
    for held, judged in held_out.items():
        for name in class_names:
            if name not in judged.class_names:
                raise UserError(
                    f"class {name!r}",
                    f"has no image in {held}, so nothing can be said about it",
                    "Add images of it, raise its share of the split, or leave the class out",
                )
        if judged.class_names != class_names:
            raise UserError(held, "its classes are not those of the training images", _MEND)
