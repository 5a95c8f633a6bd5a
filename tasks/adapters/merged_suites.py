"""What is asked of the merged set before it is written."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tasks.adapters.suites import (
    FAULTY_LINE,
    SIZE,
    TELLING,
    Suite,
    between,
    in_set,
    integrity,
    labels,
    null,
    present,
    rows,
    sizes,
    unique,
    untouched,
    with_usual_name,
)
from tasks.data.tallies import classes_of, gan_counts

_FROM = ("checkpoint", "gan_seed", "latent_seed")
_LEAK = "Raise quality_filter.copy_quantile so that copies are rejected, or change the seed"


def merged_suites(
    merged: pd.DataFrame,
    accepted: pd.DataFrame,
    train: pd.DataFrame,
    ledger: pd.DataFrame,
    asked: Mapping[int, int],
) -> list[Suite]:
    """Return what is asked of the merged set before it is written.

    Args:
        merged: manifest beside pixel statistics of the set about to be written.
        accepted: likewise of every accepted synthetic image, chosen or not.
        train: likewise of real/train.
        ledger: ``image_id`` and ``split`` of every real image, held out or cut ones too.
        asked: label -> the most synthetic images of one GAN.
    """
    split_of = ledger.drop_duplicates("image_id").set_index("image_id")["split"]
    size = {column: train[column].mode().tolist() for column in SIZE}
    names = classes_of(train)
    merged = with_usual_name(merged, names).assign(real_split=merged["image_id"].map(split_of))
    accepted = accepted.assign(real_split=accepted["image_id"].map(split_of))
    told = [name for name in (*TELLING, *_FROM, "real_split") if name in merged]
    real, synthetic = (
        merged.loc[merged["origin"] == origin, told] for origin in ("real", "synthetic")
    )
    own = "No synthetic image is a copy of any real image, held out or not"
    no_copy = null("real_split", own, _LEAK)
    whole = (
        *integrity(),
        in_set("origin", ["real", "synthetic"], "Every image is real or synthetic", FAULTY_LINE),
        *labels(names),
        *sizes(size),
    )
    real_checks = (
        present("real_split", "Every real image is listed in the ledger of splits", FAULTY_LINE),
        in_set("real_split", ["train"], "Every real image is in the training split", FAULTY_LINE),
        *(null(column, f"No real image has a {column}", FAULTY_LINE) for column in _FROM),
    )
    synthetic_checks = (
        no_copy,
        *(present(name, f"No synthetic image lacks its {name}", FAULTY_LINE) for name in _FROM),
    )
    most = sum(asked.values()) / len(train)
    ratio = between(
        "ratio", f"No GAN gives more than {most:g} synthetic images for every real one",
        "Run `ganlift run --from merge --force`", min_value=0, max_value=most,
    )  # fmt: skip
    pool_checks = (
        rows("There are accepted images", 1),
        *synthetic_checks,
        untouched(),
        in_set("origin", ["synthetic"], "Every accepted image is synthetic", FAULTY_LINE),
    )
    one_split = unique("image_id", "Every real image is in one split only", FAULTY_LINE)
    return [
        Suite("merged", "merged", "images", merged, whole),
        Suite("merged, real", "merged", "images", real, real_checks),
        Suite("merged, synthetic", "merged", "images", synthetic, synthetic_checks),
        Suite("accepted", "accepted", "images", accepted, pool_checks),
        Suite("ratio", "merged", "GANs", gan_counts(merged), (ratio,)),
        *_by_class(merged, names, asked),
        Suite("ledger", "splits ledger", "ids", ledger.assign(source=ledger["image_id"]),
              (one_split,)),
    ]  # fmt: skip


def _by_class(
    merged: pd.DataFrame, names: Mapping[int, str], asked: Mapping[int, int]
) -> list[Suite]:
    """Return what is asked of each class of a GAN; nothing where all are asked for as many."""
    if max(asked.values()) - min(asked.values()) <= 1:
        return []
    synthetic = merged[merged["origin"] == "synthetic"]
    counts = synthetic.groupby(["gan_seed", "label"]).size().reset_index(name="synthetic")
    counts["source"] = [
        f"GAN {gan}, class {names.get(label, label)}"
        for gan, label in zip(counts["gan_seed"], counts["label"], strict=True)
    ]
    counts["beyond"] = counts["synthetic"] - counts["label"].map(dict(asked)).fillna(0)
    within = between(
        "beyond", "No GAN gives a class more images than were asked for",
        "Run `ganlift run --from merge --force`", max_value=0,
    )  # fmt: skip
    return [Suite("classes", "merged", "classes of GANs", counts, (within,))]
