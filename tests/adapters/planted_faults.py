"""Great Expectations' names, and faults planted in a frame, each in a row of its own."""

from __future__ import annotations

import pandas as pd

from tasks.adapters.findings import Finding

BETWEEN = "expect_column_values_to_be_between"
EQUAL = "expect_column_pair_values_to_be_equal"
IN_SET = "expect_column_values_to_be_in_set"
NULL = "expect_column_values_to_be_null"
PRESENT = "expect_column_values_to_not_be_null"
ROWS = "expect_table_row_count_to_be_between"
UNIQUE = "expect_column_values_to_be_unique"
NAMED = (EQUAL, "class_name, usual_name")


def plant(frame: pd.DataFrame, faults: list, first: int = 0) -> pd.DataFrame:
    """Put the k-th fault's value into its column in row ``first`` + k."""
    for row, (column, value, _) in enumerate(faults, start=first):
        frame.loc[row, column] = value
    return frame


def broken_by(findings: list[Finding], row: int) -> set[tuple[str, str]]:
    return {
        (finding.expectation, finding.column)
        for finding in findings
        if any(failing.row == row for failing in finding.failing)
    }
