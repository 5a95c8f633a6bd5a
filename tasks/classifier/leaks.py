"""The last gate before training: nothing held out is trained on, and every class is judged."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet

_MEND = "Run `ganlift run --force`, which splits the images anew and makes every set of them"


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
