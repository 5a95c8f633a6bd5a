"""What the two gates ask, as plain data: the real sets before training, and the merged set.

Expectations carry Great Expectations' own names and arguments; `expectations` checks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from tasks.contracts.image_set import COLUMNS
from tasks.contracts.params.merge import MergeParams
from tasks.contracts.params.validate import ValidateParams
from tasks.data.tallies import class_counts, classes_of, gan_counts

_FROM = ("checkpoint", "gan_seed", "latent_seed")
_TELLING = ("row", "image_id", "source")  # which image a failing row is
_USUAL = "usual_name"
_SIZE = ("height", "width", "channels")
_FAULTY_LINE = "Run `ganlift run --force` to make the image sets again"
_LEAK = "Raise quality_filter.copy_quantile so that copies are rejected, or change the seed"


@dataclass(frozen=True)
class Check:
    """One expectation: Great Expectations' name and arguments, what it means, how to mend."""

    expectation: str
    arguments: Mapping[str, Any]
    explanation: str
    mend: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it looks at, none for a whole table."""
        names = ("column", "column_A", "column_B")
        return tuple(self.arguments[name] for name in names if name in self.arguments)


@dataclass(frozen=True)
class Suite:
    """Checks of one frame.

    Attributes:
        name: unique among the suites of a gate.
        split: what a person calls the rows: an image set, or what was checked across sets.
        unit: what a row is, in the plural.
        frame: the rows. ``row`` and ``image_id`` say which image a row is, if it is one;
            ``source`` or the first column name it; ``split`` overrides the suite's.
        checks: what is asked of them.
    """

    name: str
    split: str
    unit: str
    frame: pd.DataFrame
    checks: tuple[Check, ...] = field(default=())


def real_suites(frames: Mapping[str, pd.DataFrame], params: ValidateParams) -> list[Suite]:
    """Return what is asked of the real sets.

    Args:
        frames: split -> manifest beside pixel statistics (`pixel_stats.describe`), train first.
        params: least images of a class in each split, least contrast of an image.
    """
    told = [*_TELLING, *_SIZE, "label", "class_name", "group"]
    everything = pd.concat([frame[told].assign(split=split) for split, frame in frames.items()])
    names = classes_of(everything)
    least = {split: getattr(params, f"min_{split}_per_class") for split in frames}
    model = frames["train"] if len(frames["train"]) else everything
    sizes = {column: model[column].mode().tolist() for column in _SIZE}
    suites = []
    for split, frame in frames.items():
        checks = (*_integrity(), *_labels(names), *_real_pixels(params), *_sizes(sizes))
        named = _with_usual_name(frame, names)
        suites.append(Suite(f"{split} images", split, "images", named, checks))
        counts = class_counts(frame, names)
        enough = _between(
            "images", "Every class has enough images",
            f"Bring every class to {least[split]} images in {split}, "
            f"or lower validate.min_{split}_per_class",
            min_value=least[split],
        )  # fmt: skip
        suites.append(Suite(f"{split} classes", split, "classes", counts, (enough,)))
    total = Suite(
        "classes", "all splits", "classes", class_counts(everything, names),
        (_rows("There are at least two classes to tell apart", 2),),
    )  # fmt: skip
    return [*suites, _apart(everything, "image_id"), _apart(everything, "group"), total]


def merged_suites(
    merged: pd.DataFrame,
    accepted: pd.DataFrame,
    train: pd.DataFrame,
    ledger: pd.DataFrame,
    params: MergeParams,
) -> list[Suite]:
    """Return what is asked of the merged set before it is written.

    Args:
        merged: manifest beside pixel statistics of the set about to be written.
        accepted: likewise of every accepted synthetic image, chosen or not.
        train: likewise of real/train.
        ledger: ``image_id`` and ``split`` of every real image, held out or cut ones too.
        params: the highest share of synthetic images of one GAN.
    """
    split_of = ledger.drop_duplicates("image_id").set_index("image_id")["split"]
    sizes = {column: train[column].mode().tolist() for column in _SIZE}
    names = classes_of(train)
    merged = _with_usual_name(merged, names).assign(real_split=merged["image_id"].map(split_of))
    accepted = accepted.assign(real_split=accepted["image_id"].map(split_of))
    told = [name for name in (*_TELLING, *_FROM, "real_split") if name in merged]
    real, synthetic = (
        merged.loc[merged["origin"] == origin, told] for origin in ("real", "synthetic")
    )
    own = "No synthetic image is a copy of any real image, held out or not"
    no_copy = _null("real_split", own, _LEAK)
    whole = (
        *_integrity(),
        _in_set("origin", ["real", "synthetic"], "Every image is real or synthetic", _FAULTY_LINE),
        *_labels(names),
        *_sizes(sizes),
    )
    real_checks = (
        _present("real_split", "Every real image is listed in the ledger of splits", _FAULTY_LINE),
        _in_set("real_split", ["train"], "Every real image is in the training split", _FAULTY_LINE),
        *(_null(column, f"No real image has a {column}", _FAULTY_LINE) for column in _FROM),
    )
    synthetic_checks = (
        no_copy,
        *(_present(name, f"No synthetic image lacks its {name}", _FAULTY_LINE) for name in _FROM),
    )
    most = params.synthetic_per_real
    ratio = _between(
        "ratio", f"No GAN gives more than {most:g} synthetic images for every real one",
        "Run `ganlift run --from merge --force`", min_value=0, max_value=most,
    )  # fmt: skip
    pool_checks = (
        _rows("There are accepted images", 1),
        *synthetic_checks,
        _untouched(),
        _in_set("origin", ["synthetic"], "Every accepted image is synthetic", _FAULTY_LINE),
    )
    one_split = _unique("image_id", "Every real image is in one split only", _FAULTY_LINE)
    return [
        Suite("merged", "merged", "images", merged, whole),
        Suite("merged, real", "merged", "images", real, real_checks),
        Suite("merged, synthetic", "merged", "images", synthetic, synthetic_checks),
        Suite("accepted", "accepted", "images", accepted, pool_checks),
        Suite("ratio", "merged", "GANs", gan_counts(merged), (ratio,)),
        Suite("ledger", "splits ledger", "ids", ledger.assign(source=ledger["image_id"]),
              (one_split,)),
    ]  # fmt: skip


def _with_usual_name(frame: pd.DataFrame, names: Mapping[int, str]) -> pd.DataFrame:
    """Return the frame with the class name that most images of a label have.

    Great Expectations compares two columns at once, and pairs of values one row at a time.
    """
    return frame.assign(**{_USUAL: frame["label"].map(names).astype("str")})


def _integrity() -> tuple[Check, ...]:
    again = "Remove the copies from the source, or run `ganlift run --force` to ingest it again"
    return (
        _rows("The set is not empty", 1),
        *(_present(column, f"No {column} is missing", _FAULTY_LINE) for column in COLUMNS),
        _unique("image_id", "No image occurs twice in a set", again),
        _untouched(),
    )


def _untouched() -> Check:
    return Check(
        "expect_column_pair_values_to_be_equal",
        {"column_A": "image_id", "column_B": "pixel_id"},
        "Every image id is the sha256 of the image's pixels, so no pixel was changed",
        _FAULTY_LINE,
    )


def _labels(names: Mapping[int, str]) -> tuple[Check, ...]:
    mend = "Put the images into the folder of their class and run `ganlift run`"
    return (
        _in_set("label", list(names), "Every label is one of the classes", mend),
        Check(
            "expect_column_pair_values_to_be_equal",
            {"column_A": "class_name", "column_B": _USUAL},
            "Every label has one class name, the one most of its images have",
            mend,
        ),
    )


def _real_pixels(params: ValidateParams) -> tuple[Check, ...]:
    blank = f"No image is blank: grey levels vary by {params.min_pixel_std:g} or more"
    grey = {"min_value": 0, "max_value": 255}
    return (
        _in_set("origin", ["real"], "Every image is real", _FAULTY_LINE),
        _between("pixel_min", "The darkest grey level is in 0 to 255", _FAULTY_LINE, **grey),
        _between("pixel_max", "The brightest grey level is in 0 to 255", _FAULTY_LINE, **grey),
        _between(
            "pixel_std", blank, "Remove blank images, or lower validate.min_pixel_std",
            min_value=params.min_pixel_std,
        ),
    )  # fmt: skip


def _sizes(sizes: Mapping[str, list[int]]) -> tuple[Check, ...]:
    return tuple(
        _in_set(
            column, values, f"Every image has the {column} of the training images", _FAULTY_LINE
        )
        for column, values in sizes.items()
    )


def _apart(everything: pd.DataFrame, column: str) -> Suite:
    """Return the suite that no value of ``column`` stands in two splits."""
    explanation = f"No {column} is in two splits, where a network could learn it by heart"
    told = dict.fromkeys([*_TELLING, "split", column])
    frame = everything[list(told)].drop_duplicates(["split", column])
    return Suite(
        f"{column} across splits", "all splits", "ids", frame,
        (_unique(column, explanation, "Put what belongs together into one split of the source"),),
    )  # fmt: skip


def _rows(explanation: str, least: int) -> Check:
    mend = "Add images to the source and run `ganlift run`"
    return Check("expect_table_row_count_to_be_between", {"min_value": least}, explanation, mend)


def _present(column: str, explanation: str, mend: str) -> Check:
    return Check("expect_column_values_to_not_be_null", {"column": column}, explanation, mend)


def _null(column: str, explanation: str, mend: str) -> Check:
    return Check("expect_column_values_to_be_null", {"column": column}, explanation, mend)


def _unique(column: str, explanation: str, mend: str) -> Check:
    return Check("expect_column_values_to_be_unique", {"column": column}, explanation, mend)


def _in_set(column: str, values: list[Any], explanation: str, mend: str) -> Check:
    arguments = {"column": column, "value_set": values}
    return Check("expect_column_values_to_be_in_set", arguments, explanation, mend)


def _between(column: str, explanation: str, mend: str, **bounds: float) -> Check:
    arguments = {"column": column, **bounds}
    return Check("expect_column_values_to_be_between", arguments, explanation, mend)
