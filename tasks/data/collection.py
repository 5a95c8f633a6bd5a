"""From decoded images to distinct ones in their splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, Labels
from tasks.contracts.params.ingest import IngestParams
from tasks.data.items import RANK, SPLITS, Item, Rejected
from tasks.data.splits import assign_splits, class_quotas, keep_rows, label_quotas

Rows = npt.NDArray[np.int64]
COPY = "Nothing: one copy is used"


@dataclass(frozen=True)
class Distinct:
    """Images of which no two are equal.

    Attributes:
        images: the ones that are kept.
        given: the split that the source gives each.
        copies: left out because another image is kept, or because they have two labels.
        shrunk: of those, the ones that were not equal before they were made small.
        across: how many copies lay in another given split than the one that is kept.
    """

    images: ImageSet
    given: list[str | None]
    copies: list[Rejected]
    shrunk: int
    across: int


def distinct(images: ImageSet, given: Sequence[str | None], digests: Sequence[bytes]) -> Distinct:
    """Keep one of each set of identical images; drop all of one that has two labels.

    Where copies lie in different given splits, the one in test (then val) is kept, so that
    nothing held out is also trained on.

    Args:
        images: all of them.
        given: the split that the source gives each, or None.
        digests: of each image before it was made small.
    """
    sources = images.manifest["source"].tolist()
    classes = images.manifest["class_name"].tolist()
    same: dict[str, list[int]] = {}
    for row, one in enumerate(images.manifest["image_id"]):
        same.setdefault(one, []).append(row)
    rejected: list[Rejected] = []
    keep: list[int] = []
    shrunk = across = 0
    for copies in same.values():
        names = sorted({classes[row] for row in copies})
        copies.sort(key=lambda row: (RANK[given[row] or "train"], sources[row]))
        if len(names) > 1:
            reason = f"identical images under {', '.join(names)}"
            mend = "Keep it in the folder of its true class alone"
            rejected += [Rejected(sources[row], classes[row], reason, mend) for row in copies]
            continue
        keep.append(copies[0])
        for row in copies[1:]:
            reason, mend = f"identical to {sources[copies[0]]}", COPY
            if digests[row] != digests[copies[0]]:
                shrunk += 1
                reason += " once it is made small"
                mend = "Raise ingest.image_size"
            across += given[row] != given[copies[0]]
            rejected.append(Rejected(sources[row], classes[row], reason, mend))
    rows = sorted(keep)
    return Distinct(images.take(rows), [given[row] for row in rows], rejected, shrunk, across)


def check_classes(items: Sequence[Item], images: ImageSet) -> None:
    """Refuse a source one of whose classes has lost every image: its label would be a gap.

    Raises:
        UserError: names the class.
    """
    lost = sorted({item.class_name for item in items} - set(images.class_names))
    if lost:
        raise UserError(
            f"class {lost[0]!r}",
            "none of its images is left: they are unreadable, or lie in another class too",
            "Mend or add images of it, or remove its folder",
        )


def split(
    images: ImageSet, given: Sequence[str | None], params: IngestParams, seed: int
) -> dict[str, ImageSet]:
    """Return ``train``, ``val``, ``test``, ``cut`` and ``hidden``, all with their labels.

    Given splits are respected; what they lack is taken out of train by content hash. Then, of
    the training images of each class, the share `label_fraction` keeps its label and the others
    are ``hidden``; of those with a label, `per_class` and `imbalance` keep some and ``cut`` the
    others. Both go by the same hash, so the fraction can only shrink train: the images in it
    are the ones that a fraction of 1 would also choose.

    Raises:
        UserError: a single class, or a class with no image in one of the splits.
    """
    names = images.class_names
    if len(names) < 2:
        raise UserError(
            "ingest.source", f"only one class ({names[0]!r})", "Give at least two class folders"
        )
    present = set(given)
    val_share = 0.0 if "val" in present else params.val_share
    test_share = 0.0 if "test" in present else params.test_share
    places = np.array(given, dtype=object)
    free = np.flatnonzero(~np.isin(places, ("val", "test")))
    places[free] = assign_splits(
        images.manifest["group"].to_numpy()[free],
        images.labels[free],
        val_share=val_share,
        test_share=test_share,
        seed=seed,
    )
    counts = pd.crosstab(images.manifest["class_name"].to_numpy(), places)
    for name, images_in in counts.reindex(index=names, columns=SPLITS, fill_value=0).iterrows():
        empty = [place for place in SPLITS if not images_in[place]]
        if empty:
            raise UserError(
                f"class {name!r}",
                f"its {images_in.sum()} images leave none for {' and '.join(empty)}",
                "Add images of it, drop the class, or put them into train/ and test/ yourself",
            )
    ids, labels = images.manifest["image_id"].to_numpy(), images.labels

    def keep(rows: Rows, quotas: Callable[[Labels], Labels]) -> tuple[Rows, Rows]:
        """Part rows into those that their class's quota keeps, and the others."""
        wanted = quotas(np.bincount(labels[rows], minlength=len(names)))
        kept = keep_rows(ids[rows], labels[rows], wanted, seed)
        return rows[kept], rows[~kept]

    every = np.flatnonzero(places == "train")
    known, hidden = keep(every, lambda counts: label_quotas(counts, params.label_fraction))
    train, cut = keep(known, lambda n: class_quotas(n, params.per_class, params.imbalance))
    rows = {
        "train": train,
        "val": np.flatnonzero(places == "val"),
        "test": np.flatnonzero(places == "test"),
        "cut": cut,
        "hidden": hidden,
    }
    return {name: images.take(mine) for name, mine in rows.items()}
