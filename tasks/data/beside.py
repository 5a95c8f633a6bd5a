"""Images beside the splits: without a label, of another domain, or of related classes.

Without a label are those of the folder ``unlabelled/``, and those whose label is hidden.

`ingest.label_fraction` below 1 hides labels: in each class of the training split that share of
the images (rounded up, at least 2) keeps its label, and the others become unlabelled. The cut
(`ingest.per_class`, `ingest.imbalance`) comes afterwards and among those with a label: what is
cut is used for nothing and does not become unlabelled. Validation and test keep all labels.

No trace of a hidden label is left: the label is -1, the class name empty, the source and the group
are made of the id alone, as both may name the class, and the rows are in the order of their ids,
which come from the pixels.

Of another domain are those of the folder ``other_domain/``: the same classes, taken otherwise. Of
related classes are those of ``related/``: other classes, which nobody asks about, with labels of
their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images, ImageSet, Unread, concatenate, image_id
from tasks.contracts.params.ingest import IngestParams
from tasks.data.collection import COPY
from tasks.data.items import OTHER_DOMAIN, RELATED, Item, Rejected
from tasks.data.reading import read

_TEXT = ("image_id", "class_name", "origin", "source", "group")


def decode_beside(
    items: Sequence[Item],
    shape: tuple[int, int, int],
    class_names: Sequence[str],
    params: IngestParams,
    watch: Callable[[float, str], None],
    white: int | None = None,
    scratch: Path | None = None,
) -> tuple[ImageSet, list[Rejected]]:
    """Decode images beside the splits to the shape (H, W, C) of those in them; list the unreadable.

    They follow the images in splits in size, channels and `white` (see `read`), so that adding
    them changes none of those. They are `Unread`.

    Raises:
        UserError: an image of another domain is of a class that is none of ``class_names``, one of
            a related class is of such, or there is a single related class.

    Returns:
        the images, those of related classes with labels after the others', and the unreadable.
    """
    _see_classes(items, class_names)
    related = sorted({item.class_name for item in items if item.split == RELATED})
    names = ("", *class_names, *related)
    labels = {name: label for label, name in enumerate(names, start=-1)}
    asked = params.model_copy(update={"channels": shape[2]})
    done = read(items, asked, watch, white, scratch)
    ids = [image_id(image) for image in done.pixels]
    groups = [item.group or one for one, item in zip(ids, done.items, strict=True)]
    sources = [item.source for item in done.items]
    images = done.pixels if ids else np.zeros((0, *shape), dtype=np.uint8)
    unread = cast(Images, Unread.of(images))
    named = [item.class_name for item in done.items]
    manifest = _manifest(ids, sources, groups).assign(
        label=np.array([labels[name] for name in named], dtype=np.int64),
        class_name=pd.Series(named, dtype="str"),
    )
    return ImageSet(unread, manifest), done.unreadable


def _see_classes(items: Sequence[Item], class_names: Sequence[str]) -> None:
    related = {}
    for item in items:
        name, asked = item.class_name, item.class_name in class_names
        if item.split == OTHER_DOMAIN and not asked:
            raise UserError(
                f"class {name!r} of {OTHER_DOMAIN}",
                f"no image outside of {OTHER_DOMAIN} is of this class ({item.source})",
                "Give images of it in your own domain too, rename the class as it is called "
                "there, or move its images out of the source",
            )
        if item.split == RELATED:
            related[name] = item.source
            if asked:
                raise UserError(
                    f"class {name!r} of {RELATED}",
                    f"it is asked about too, since images of it stand beside ({item.source})",
                    f"Move its images out of {RELATED} to the others of the class, or rename it "
                    "if it is another class",
                )
    if len(related) == 1:
        raise UserError(
            f"class {next(iter(related))!r} of {RELATED}",
            "it is the only related class, and to tell one class apart teaches a classifier "
            f"nothing ({next(iter(related.values()))})",
            f"Give images of at least two related classes, or move {RELATED} out of the source",
        )


def hide_labels(images: ImageSet) -> ImageSet:
    """Return the same images, in the same order, with nothing left that tells a class."""
    ids = images.manifest["image_id"].tolist()
    return ImageSet(images.images, _manifest(ids, [f"hidden/{one}" for one in ids], ids))


def join_unlabelled(
    hidden: ImageSet, given: ImageSet, labelled: Mapping[str, ImageSet]
) -> tuple[ImageSet, list[Rejected]]:
    """Join both kinds, rows by image id, without copies or leaks; and list what was left out.

    Args:
        hidden: training images whose label was hidden (`hide_labels`).
        given: images that came without a label (`decode_unlabelled`).
        labelled: every set whose images have a label, by split. A copy of one of them, or what is
            of one group with an image of val or test, is left out, so that nothing held out or cut
            away is trained on after all.
    """
    kept, copies = _without_leaks(given, hidden, labelled)
    return _by_id(concatenate([hidden, kept])), copies


def join_labelled(
    given: ImageSet, hidden: ImageSet, labelled: Mapping[str, ImageSet]
) -> tuple[ImageSet, list[Rejected]]:
    """Return images with a label, rows by image id, and list copies and leaks, left out.

    Args:
        given: images of another domain, or of related classes (`decode_beside`).
        hidden: training images whose label was hidden (`hide_labels`).
        labelled: as in `join_unlabelled`.
    """
    kept, copies = _without_leaks(given, hidden, labelled)
    return _by_id(kept), copies


def renumbered(images: ImageSet) -> ImageSet:
    """Return the same images with their labels counted from 0 on, without a gap."""
    labels = np.unique(images.labels, return_inverse=True)[1].astype(np.int64)
    return ImageSet(images.images, images.manifest.assign(label=labels))


def _by_id(images: ImageSet) -> ImageSet:
    return images.take(images.manifest["image_id"].argsort(kind="stable").to_numpy())


def _without_leaks(
    given: ImageSet, hidden: ImageSet, labelled: Mapping[str, ImageSet]
) -> tuple[ImageSet, list[Rejected]]:
    """Leave out copies of one another and of known images, and what is of a held-out group."""
    first = {
        str(one): str(source)
        for known in (*labelled.values(), hidden)
        for one, source in zip(known.manifest["image_id"], known.manifest["source"], strict=True)
    }
    held_out = {
        str(group): split
        for split, known in labelled.items()
        if split in ("val", "test")
        for group in known.manifest["group"]
    }
    keep: list[int] = []
    copies: list[Rejected] = []
    columns = ["image_id", "source", "class_name", "group"]
    table = given.manifest[columns].itertuples(index=False, name=None)
    for row, (one, source, name, group) in enumerate(table):
        if one in first:
            copies.append(Rejected(source, name, f"identical to {first[one]}", COPY))
            continue
        if group in held_out:
            reason = f"of one group with images in {held_out[group]}"
            copies.append(Rejected(source, name, reason, "Nothing: what is held out stays so"))
            continue
        first[one] = source
        keep.append(row)
    return given.take(keep), copies


def _manifest(ids: Sequence[str], sources: Sequence[str], groups: Sequence[str]) -> pd.DataFrame:
    manifest = pd.DataFrame(
        {
            "image_id": ids,
            "label": np.full(len(ids), -1, dtype=np.int64),
            "class_name": "",
            "origin": "real",
            "source": sources,
            "group": groups,
        }
    )
    return manifest.astype(dict.fromkeys(_TEXT, "str"))  # also where there is no row to tell
