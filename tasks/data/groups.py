"""Groups: what belongs together and so must never stand in two splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.contracts.image_set import ImageSet, concatenate
from tasks.data.items import HELD_OUT, Rejected
from tasks.data.twins import find_twins

_WHOLE = "Put the whole group into one split to use it"


def with_twins(
    images: ImageSet,
    loose: ImageSet,
    threshold: float | None,
    watch: Callable[[float, str], None],
    scratch: Path | None = None,
) -> tuple[ImageSet, ImageSet, pd.DataFrame]:
    """Join near-twins into groups, also those among images without a label.

    Args:
        images: labelled images, no two equal.
        loose: images without a label, perhaps copies.
        threshold: see `find_twins`; None seeks none.
        watch: told the share that is done.
        scratch: see `find_twins`.

    Returns:
        Both sets with their groups, and the pairs: ``id``, ``source`` and ``class_name`` of either
        (with ``_a`` and ``_b``), and ``correlation``, in the order of the ids, which
        tells nothing of where an image lay.
    """
    everything = concatenate([images, loose]) if len(loose) else images
    table = everything.manifest
    first = np.flatnonzero(~table["image_id"].duplicated())
    pairs = find_twins(everything.take(first).images, threshold, watch, scratch)
    pairs = pairs.assign(a=first[pairs["a"]], b=first[pairs["b"]])
    joined = join_groups(everything, pairs).manifest
    ids = table["image_id"].to_numpy()
    swapped = ids[pairs["a"]] > ids[pairs["b"]]
    ends = {
        "_a": pairs["a"].where(~swapped, pairs["b"]),
        "_b": pairs["b"].where(~swapped, pairs["a"]),
    }
    told = {
        f"{name}{end}": table[column].to_numpy()[rows]
        for end, rows in ends.items()
        for name, column in (("id", "image_id"), ("source", "source"), ("class", "class_name"))
    }
    pairs = pd.DataFrame({**told, "correlation": pairs["correlation"]})
    split = len(images)
    return (
        _regrouped(images, joined["group"].iloc[:split]),
        _regrouped(loose, joined["group"].iloc[split:]),
        pairs.sort_values(["id_a", "id_b"], ignore_index=True),
    )


def _regrouped(images: ImageSet, groups: pd.Series) -> ImageSet:
    """Return the images in other groups; nothing else of their rows changes."""
    kind = images.manifest["group"].dtype
    manifest = images.manifest.assign(group=groups.set_axis(images.manifest.index).astype(kind))
    return ImageSet(images.images, manifest)


def told_twins(pairs: pd.DataFrame, splits: Mapping[str, str], hidden: ImageSet) -> pd.DataFrame:
    """Return pairs as people read them, without a trace of a label that is hidden.

    Args:
        pairs: as `with_twins` returns them.
        splits: split of an image by its id; one that was left out has none.
        hidden: images whose label is hidden, as `hide_labels` returns them.
    """
    names = hidden.manifest.set_index("image_id")["source"]
    table = pd.DataFrame(index=pairs.index)
    for end in ("_a", "_b"):
        ids = pairs[f"id{end}"]
        veiled = ids.isin(names.index)
        table[f"source{end}"] = pairs[f"source{end}"].mask(veiled, ids.map(names))
        table[f"class{end}"] = pairs[f"class{end}"].mask(veiled, "")
        table[f"split{end}"] = ids.map(splits).fillna("")
    return table.assign(correlation=pairs["correlation"])


def copies_across(images: ImageSet, given: Sequence[str | None]) -> set[str]:
    """Return the sources of copies in a less held out split than another copy, by given splits."""
    rank = pd.Series(list(given), dtype=object).map(HELD_OUT)
    held = rank.groupby(images.manifest["image_id"].to_numpy()).transform("min")
    return set(images.manifest["source"][(rank > held).to_numpy()])


def join_groups(images: ImageSet, pairs: pd.DataFrame | None = None) -> ImageSet:
    """Return the images with groups joined where a name, the same pixels or twins link them.

    A group is called by the first of the names given to its images, in their order as text, or
    by the smallest image id where none has a name. So what a group without a name is called, and
    by that its split, can change when one more twin of it comes; nothing else moves it.

    Args:
        images: N images; a group that is not the image's own id is a name that was given.
        pairs: row numbers ``a`` and ``b`` of twins; None where none are known yet.
    """
    a, b = ([], []) if pairs is None else (pairs["a"].to_numpy(), pairs["b"].to_numpy())
    ids, groups = images.manifest["image_id"], images.manifest["group"]
    rows = np.arange(len(ids))
    same_name, same_pixels = (pd.factorize(column)[0] for column in (groups, ids))
    named, pixels = len(rows) + same_name, len(rows) + len(rows) + same_pixels
    start = np.concatenate([rows, rows, a]).astype(np.int64)
    end = np.concatenate([named, pixels, b]).astype(np.int64)
    links = coo_array((np.ones(len(start), np.int8), (start, end)), shape=(3 * len(rows),) * 2)
    _, parts = connected_components(links, directed=False)
    table = pd.DataFrame({"part": parts[: len(rows)], "group": groups, "bare": groups == ids})
    first = table.sort_values(["bare", "group"]).drop_duplicates("part").set_index("part")["group"]
    manifest = images.manifest.assign(group=table["part"].map(first).astype(groups.dtype))
    return ImageSet(images.images, manifest)


def part_leaks(
    images: ImageSet, given: Sequence[str | None]
) -> tuple[ImageSet, list[str | None], list[Rejected]]:
    """Leave each group in the most held out of the splits given to it, and drop the rest of it.

    An image without a split of its own, in a group that has one, goes where its group is.

    Returns:
        What is left, the splits given to it, and what was dropped.
    """
    manifest = images.manifest
    rank = pd.Series(list(given), dtype=object).map(HELD_OUT)
    held = rank.groupby(manifest["group"].to_numpy()).transform("min")
    leaking = (rank > held).to_numpy()
    kept = manifest[(rank == held).to_numpy()]
    keeper = kept.groupby("group")["source"].min().to_dict()
    names = dict(zip(HELD_OUT.values(), HELD_OUT, strict=True))
    table = manifest.assign(held=held.map(names).to_numpy())[leaking]
    columns = (table[name].tolist() for name in ("source", "class_name", "group", "held"))
    dropped = [
        Rejected(source, name, f"of one group with {keeper[group]}, which is in {split}", _WHOLE)
        for source, name, group, split in zip(*columns, strict=True)
    ]
    rows = np.flatnonzero(~leaking)
    left = [None if np.isnan(held[row]) else names[int(held[row])] for row in rows]
    return images.take(rows), left, dropped
