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
from tasks.data.items import HELD_OUT, SPLITS, Item, Rejected
from tasks.data.splits import (
    assign_splits,
    class_quotas,
    fold_numbers,
    keep_rows,
    label_quotas,
)

Rows = npt.NDArray[np.int64]
COPY = "Nothing: one copy is used"


@dataclass(frozen=True)
class Distinct:
    """Images of which no two are equal.

    Attributes:
        images: the ones that are kept.
        given: the split that the source gives each.
        copies: left out because another image is kept, or because they have two labels.
        shrunk: how many of them were not equal before they were made small.
    """

    images: ImageSet
    given: list[str | None]
    copies: list[Rejected]
    shrunk: int


def distinct(
    images: ImageSet, given: Sequence[str | None], digest: Callable[[int], bytes]
) -> Distinct:
    """Keep one of each set of identical images; drop all of one that has two labels.

    Where copies lie in different given splits, the one in test (then val) is kept, so that
    nothing held out is also trained on.

    Args:
        images: all of them.
        given: the split that the source gives each, or None.
        digest: of the image in a row before it was made small; asked for copies alone.
    """
    sources = images.manifest["source"].tolist()
    classes = images.manifest["class_name"].tolist()
    same: dict[str, list[int]] = {}
    for row, one in enumerate(images.manifest["image_id"]):
        same.setdefault(one, []).append(row)
    rejected: list[Rejected] = []
    keep: list[int] = []
    shrunk = 0
    for copies in same.values():
        names = sorted({classes[row] for row in copies})
        copies.sort(key=lambda row: (HELD_OUT[given[row] or "train"], sources[row]))
        if len(names) > 1:
            reason = f"identical images under {', '.join(names)}"
            mend = "Keep it in the folder of its true class alone"
            rejected += [Rejected(sources[row], classes[row], reason, mend) for row in copies]
            continue
        keep.append(copies[0])
        whole = digest(copies[0]) if len(copies) > 1 else b""
        for row in copies[1:]:
            reason, mend = f"identical to {sources[copies[0]]}", COPY
            if digest(row) != whole:
                shrunk += 1
                reason += " once it is made small"
                mend = "Raise ingest.image_size"
            rejected.append(Rejected(sources[row], classes[row], reason, mend))
    rows = sorted(keep)
    return Distinct(images.take(rows), [given[row] for row in rows], rejected, shrunk)


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
    images: ImageSet, given: Sequence[str | None], params: IngestParams, seed: int, fold: int = 0
) -> dict[str, ImageSet]:
    """Return ``train``, ``val``, ``test``, ``cut`` and ``hidden``, all with their labels.

    Given splits are respected; what they lack is taken out of train by content hash, a group at
    a time and each class for itself (`assign_splits`). A group of several classes counts as one of
    the class with the fewest groups, so that rare classes come near their shares. Then, of
    the training images of each class, the share `label_fraction` keeps its label and the others
    are ``hidden``; of those with a label, `per_class` and `imbalance` keep some and ``cut`` the
    others. Both go by the same hash, so the fraction can only shrink train: the images in it
    are the ones that a fraction of 1 would also choose.

    Args:
        images: all distinct ones.
        given: the split that the source gives each, or None.
        params: shares and cuts.
        seed: of every hash.
        fold: the one of ``params.folds`` that is tested on, from 1; 0 where the shares decide.

    Raises:
        UserError: a single class, a class with no image in one of the splits or with fewer groups
            than folds, or folds of a source that says what to test on.
    """
    names = images.class_names
    if len(names) < 2:
        raise UserError(
            "ingest.source", f"only one class ({names[0]!r})", "Give at least two class folders"
        )
    places = _places(images, given, params, seed, fold)
    counts = pd.crosstab(images.manifest["class_name"].to_numpy(), places)
    for name, images_in in counts.reindex(index=names, columns=SPLITS, fill_value=0).iterrows():
        empty = [place for place in SPLITS if not images_in[place]]
        if empty:
            one_class = images.manifest["class_name"] == name
            whole = images.manifest["group"][one_class].nunique()
            of = f" of {whole} groups" if whole < images_in.sum() else ""
            alike = [other for other in names if other != name and _same(other, str(name))]
            hint = f"Name its folder {alike[0]!r} in every split, or: " if alike else ""
            raise UserError(
                f"class {name!r}",
                f"its {images_in.sum()} images{of} leave none for {' and '.join(empty)}",
                f"{hint}Add images of it (a class needs 3 groups, one a split), drop the class, or "
                "put them into train/ and test/ yourself",
            )
    ids, groups = (images.manifest[column].to_numpy() for column in ("image_id", "group"))
    labels = images.labels

    def keep(rows: Rows, quotas: Callable[[Labels], Labels]) -> tuple[Rows, Rows]:
        """Part rows into those that their class's quota keeps, and the others."""
        wanted = quotas(np.bincount(labels[rows], minlength=len(names)))
        kept = keep_rows(groups[rows], ids[rows], labels[rows], wanted, seed)
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


def _places(
    images: ImageSet, given: Sequence[str | None], params: IngestParams, seed: int, fold: int
) -> npt.NDArray[np.str_]:
    """Return the split of each image, ``[N]``."""
    present = set(given)
    if fold and "test" in present:
        raise UserError(
            f"ingest.folds {params.folds}",
            "the source has a test split of its own, which is what is tested on",
            "Set ingest.folds to null, or put all images into one folder for each class",
        )
    shares = {
        "val_share": 0.0 if "val" in present else params.val_share,
        "test_share": 0.0 if "test" in present else params.test_share,
    }
    if params.folds:  # of what the fold leaves
        shares = {"val_share": shares["val_share"] / (1 - 1 / params.folds), "test_share": 0.0}
    table = images.manifest[["group", "label"]].assign(given=pd.Series(given, dtype=object))
    free = table[~table["given"].isin(["val", "test"])]
    sizes = free.groupby("label")["group"].nunique()
    order = free.assign(size=free["label"].map(sizes)).sort_values(["size", "label", "group"])
    rarest = order.drop_duplicates("group")
    place: dict[str, str] = {}
    for _, groups in rarest.groupby("label")["group"]:
        names = groups.tolist()
        if fold:
            class_name = str(images.manifest["class_name"][groups.index[0]])
            tested = _fold(names, class_name, params, seed, fold)
            place |= dict.fromkeys(tested, "test")
            names = [name for name in names if name not in place]
        place |= zip(names, assign_splits(names, **shares, seed=seed), strict=True)
    chosen = table["given"].where(table["given"].isin(["val", "test"]), table["group"].map(place))
    return chosen.to_numpy(dtype=np.str_)


def _fold(
    groups: Sequence[str], class_name: str, params: IngestParams, seed: int, fold: int
) -> list[str]:
    """Return the groups of a class that one fold tests on."""
    assert params.folds is not None
    if len(groups) < params.folds:
        raise UserError(
            f"class {class_name!r}",
            f"its {len(groups)} groups are fewer than ingest.folds {params.folds}, and each fold "
            "tests on one of them at least",
            "Lower ingest.folds, add images of it, or leave the class out",
        )
    numbers = fold_numbers(groups, params.folds, seed)
    return [name for name, number in zip(groups, numbers, strict=True) if number == fold]


def _same(one: str, other: str) -> bool:
    """Tell whether two names of classes may mean the same: but for case, spaces and signs."""
    plain = ("".join(filter(str.isalnum, name.casefold())) for name in (one, other))
    return next(plain) == next(plain) != ""
