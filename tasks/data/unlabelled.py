"""Unlabelled images: those of the folder ``unlabelled/``, and those whose label is hidden.

`ingest.label_fraction` below 1 hides labels: in each class of the training split that share of
the images (rounded up, at least 2) keeps its label, and the others become unlabelled. The cut
(`ingest.per_class`, `ingest.imbalance`) comes afterwards and among those with a label: what is
cut is used for nothing and does not become unlabelled. Validation and test keep all labels.

No trace of a hidden label is left: the label is -1, the class name empty, the source and the group
are made of the id alone, as both may name the class, and the rows are in the order of their ids,
which come from the pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from tasks.contracts.image_set import Images, ImageSet, Unread, concatenate, image_id
from tasks.contracts.params.ingest import IngestParams
from tasks.data.collection import COPY
from tasks.data.items import Item, Rejected
from tasks.data.reading import read

_TEXT = ("image_id", "class_name", "origin", "source", "group")


def decode_unlabelled(
    items: Sequence[Item],
    shape: tuple[int, int, int],
    params: IngestParams,
    watch: Callable[[float, str], None],
    white: int | None = None,
    scratch: Path | None = None,
) -> tuple[ImageSet, list[Rejected]]:
    """Decode images without a label to the labelled ones' shape (H, W, C), and list the unreadable.

    They follow the labelled images in size, channels and `white` (see `read`), so that adding
    them changes no labelled image. They are `Unread`.
    """
    asked = params.model_copy(update={"channels": shape[2]})
    done = read(items, asked, watch, white, scratch)
    ids = [image_id(image) for image in done.pixels]
    groups = [item.group or one for one, item in zip(ids, done.items, strict=True)]
    sources = [item.source for item in done.items]
    images = done.pixels if ids else np.zeros((0, *shape), dtype=np.uint8)
    unread = cast(Images, Unread.of(images))
    return ImageSet(unread, _manifest(ids, sources, groups)), done.unreadable


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
    table = given.manifest[["image_id", "source", "group"]].itertuples(index=False, name=None)
    for row, (one, source, group) in enumerate(table):
        if one in first:
            copies.append(Rejected(source, "", f"identical to {first[one]}", COPY))
            continue
        if group in held_out:
            reason = f"of one group with images in {held_out[group]}"
            copies.append(Rejected(source, "", reason, "Nothing: what is held out stays so"))
            continue
        first[one] = source
        keep.append(row)
    joined = concatenate([hidden, given.take(keep)])
    order = joined.manifest["image_id"].argsort(kind="stable")
    return joined.take(order.to_numpy()), copies


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
