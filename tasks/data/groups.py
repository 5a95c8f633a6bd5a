"""Images that belong together: one patient, one part, one scene. They never stand in two splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.data.items import RANK, Rejected

Pairs = npt.NDArray[np.int64]
_NOWHERE = len(RANK)  # the rank of an image without a split


def joined(groups: Sequence[str], pairs: Pairs) -> list[str]:
    """Join the groups of rows that are paired, and name each joint group by its smallest name.

    So the group of an image that nothing new was paired with keeps its name, whatever comes.

    Args:
        groups: name of each row's group, ``[N]``.
        pairs: row numbers, ``[P, 2]``.
    """
    names, nodes = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
    ends = nodes[pairs].reshape(-1, 2)
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(names),) * 2)
    _, component = connected_components(links, directed=False)
    first = pd.Series(names).groupby(component).min()  # names are sorted, so the smallest
    return [str(name) for name in first.to_numpy()[component[nodes]]]


def hold_apart(
    images: ImageSet, given: Sequence[str | None], on_leak: str
) -> tuple[ImageSet, list[str | None], list[Rejected]]:
    """Let no group stand in two of the splits that the source gives.

    It stays where it is held out most: in test, else in val. Its images without a split go there
    too, and those in another split are dropped.

    Args:
        images: real images.
        given: the split that the source gives each, or None.
        on_leak: ``drop``, or ``refuse`` to raise.

    Raises:
        UserError: there are such groups, and `on_leak` is ``refuse``.
    """
    table = images.manifest[["group", "source", "class_name"]].assign(
        rank=[RANK[place] if place else _NOWHERE for place in given], row=np.arange(len(images))
    )
    best = table.groupby("group")["rank"].transform("min")
    leaks = table[(table["rank"] > best) & (table["rank"] < _NOWHERE)]
    if len(leaks) and on_leak == "refuse":
        one = leaks.iloc[0]
        raise UserError(
            one["source"],
            f"its group {one['group']!r} stands in two splits, as do {len(leaks) - 1} other "
            "images: what is learned by heart in one would be known in the other",
            "Move them into one split, or set ingest.on_leak to drop",
        )
    splits = {rank: name for name, rank in RANK.items()}
    dropped = [
        Rejected(
            source,
            class_name,
            f"its group also stands in {splits[rank]}",
            "Nothing, or move the whole group into one split",
        )
        for source, class_name, rank in zip(
            leaks["source"], leaks["class_name"], best[leaks.index], strict=True
        )
    ]
    rows = np.setdiff1d(table["row"], leaks["row"])
    places = [splits.get(rank) for rank in best.to_numpy()[rows]]
    return images.take(rows), places, dropped
