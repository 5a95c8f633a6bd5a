"""What a gate asks, as plain data, and what both gates ask alike.

Expectations carry Great Expectations' own names and arguments; `expectations` checks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from tasks.adapters.findings import Severity
from tasks.contracts.image_set import COLUMNS

TELLING = ("row", "image_id", "source")  # which image a failing row is
_USUAL = "usual_name"
SIZE = ("height", "width", "channels")
FAULTY_LINE = "Run `ganlift run --force` to make the image sets again"


@dataclass(frozen=True)
class Check:
    """One expectation: Great Expectations' name and arguments, what it means, how to mend.

    A ``warn`` that fails is told and leaves the gate open.
    """

    expectation: str
    arguments: Mapping[str, Any]
    explanation: str
    mend: str
    severity: Severity = "stop"

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


def with_usual_name(frame: pd.DataFrame, names: Mapping[int, str]) -> pd.DataFrame:
    """Return the frame with the class name that most images of a label have.

    Great Expectations compares two columns at once, and pairs of values one row at a time.
    """
    return frame.assign(**{_USUAL: frame["label"].map(names).astype("str")})


def integrity() -> tuple[Check, ...]:
    """Return what every image set has to hold."""
    again = "Remove the copies from the source, or run `ganlift run --force` to ingest it again"
    return (
        rows("The set is not empty", 1),
        *(present(column, f"No {column} is missing", FAULTY_LINE) for column in COLUMNS),
        unique("image_id", "No image occurs twice in a set", again),
        untouched(),
    )


def untouched() -> Check:
    """Return that no pixel was changed since the images were ingested or made."""
    return Check(
        "expect_column_pair_values_to_be_equal",
        {"column_A": "image_id", "column_B": "pixel_id"},
        "Every image id is the sha256 of the image's pixels, so no pixel was changed",
        FAULTY_LINE,
    )


def labels(names: Mapping[int, str]) -> tuple[Check, ...]:
    """Return that labels and class names belong together."""
    mend = "Put the images into the folder of their class and run `ganlift run`"
    return (
        in_set("label", list(names), "Every label is one of the classes", mend),
        Check(
            "expect_column_pair_values_to_be_equal",
            {"column_A": "class_name", "column_B": _USUAL},
            "Every label has one class name, the one most of its images have",
            mend,
        ),
    )


def sizes(sizes: Mapping[str, list[int]]) -> tuple[Check, ...]:
    """Return that images have the given height, width and channels."""
    return tuple(
        in_set(column, values, f"Every image has the {column} of the training images", FAULTY_LINE)
        for column, values in sizes.items()
    )


def warn(check: Check) -> Check:
    """Return the check as one that is told when it fails and leaves the gate open."""
    return replace(check, severity="warn")


def rows(explanation: str, least: int) -> Check:
    """Return that there are so many rows at least."""
    mend = "Add images to the source and run `ganlift run`"
    return Check("expect_table_row_count_to_be_between", {"min_value": least}, explanation, mend)


def present(column: str, explanation: str, mend: str) -> Check:
    """Return that no value of a column is missing."""
    return Check("expect_column_values_to_not_be_null", {"column": column}, explanation, mend)


def null(column: str, explanation: str, mend: str) -> Check:
    """Return that every value of a column is missing."""
    return Check("expect_column_values_to_be_null", {"column": column}, explanation, mend)


def unique(column: str, explanation: str, mend: str) -> Check:
    """Return that no value of a column occurs twice."""
    return Check("expect_column_values_to_be_unique", {"column": column}, explanation, mend)


def in_set(column: str, values: list[Any], explanation: str, mend: str) -> Check:
    """Return that every value of a column is one of these."""
    arguments = {"column": column, "value_set": values}
    return Check("expect_column_values_to_be_in_set", arguments, explanation, mend)


def between(column: str, explanation: str, mend: str, **bounds: float) -> Check:
    """Return that every value of a column lies within bounds."""
    arguments = {"column": column, **bounds}
    return Check("expect_column_values_to_be_between", arguments, explanation, mend)
