from __future__ import annotations

import pandas as pd
import pytest

from tasks.adapters.expectations import check_suites
from tasks.adapters.findings import Finding
from tasks.adapters.merged_suites import merged_suites
from tasks.data.pixel_stats import describe
from tests.adapters.planted_faults import (
    EQUAL,
    IN_SET,
    NAMED,
    NULL,
    PRESENT,
    UNIQUE,
    broken_by,
    plant,
)
from tests.data.fake_sets import noise_set, synthetic_set


def merge_inputs(per_class: int = 4) -> dict[str, pd.DataFrame]:
    train, val = describe(noise_set(per_class, seed=0)), describe(noise_set(3, seed=1))
    absent = {"checkpoint": None, "gan_seed": pd.NA, "latent_seed": pd.NA}
    train = train.assign(**absent)
    accepted = pd.concat(
        [describe(synthetic_set(per_class, gan)) for gan in (0, 1)], ignore_index=True
    ).astype({"gan_seed": "Int64", "latent_seed": "Int64"})
    ledger = pd.concat([train.assign(split="train"), val.assign(split="val")], ignore_index=True)
    return {
        "train": train,
        "merged": pd.concat([train, accepted], ignore_index=True),
        "accepted": accepted,
        "ledger": ledger[["image_id", "split"]],
        "val": val,
    }


def failed_of_merge(inputs: dict[str, pd.DataFrame], ratio: float = 1.0):
    asked = {name: frame for name, frame in inputs.items() if name != "val"}
    each = int(ratio * len(inputs["train"]) / 2)
    suites = merged_suites(**asked, asked={0: each, 1: each})
    return [finding for finding in check_suites(suites) if not finding.passed]


def test_clean_merge_passes():
    assert failed_of_merge(merge_inputs()) == []


def held_out_as_real(inputs: dict[str, pd.DataFrame]) -> None:
    leaked = inputs["val"].iloc[[0]].assign(checkpoint=None)
    inputs["merged"] = pd.concat([inputs["merged"], leaked], ignore_index=True)


def held_out_as_synthetic(inputs: dict[str, pd.DataFrame]) -> None:
    for column in ("image_id", "pixel_id"):
        inputs["merged"].loc[10, column] = inputs["val"].loc[0, column]


def unlabelled_as_real(inputs: dict[str, pd.DataFrame]) -> None:
    held_out_as_real(inputs)
    inputs["ledger"] = inputs["ledger"].replace({"split": {"val": "unlabelled"}})


def copy_among_accepted(inputs: dict[str, pd.DataFrame]) -> None:
    for column in ("image_id", "pixel_id"):
        inputs["accepted"].loc[3, column] = inputs["train"].loc[2, column]


def in_two_splits(inputs: dict[str, pd.DataFrame]) -> None:
    again = inputs["ledger"].iloc[[0]].assign(split="test")
    inputs["ledger"] = pd.concat([inputs["ledger"], again], ignore_index=True)


REAL_CELLS = [
    ("checkpoint", "cd" * 32, {(NULL, "checkpoint")}),
    ("gan_seed", 0, {(NULL, "gan_seed")}),
    ("latent_seed", 4, {(NULL, "latent_seed")}),
    ("image_id", "0" * 64, {(PRESENT, "real_split"), (EQUAL, "image_id, pixel_id")}),
]
MADE_CELLS = [
    ("origin", "imagined", {(IN_SET, "origin")}),
    ("label", 5, {(IN_SET, "label"), NAMED}),
    ("class_name", "dog", {NAMED}),
    ("height", 16, {(IN_SET, "height")}),
    ("channels", 3, {(IN_SET, "channels")}),
    ("pixel_id", "0" * 64, {(EQUAL, "image_id, pixel_id")}),
    ("checkpoint", None, {(PRESENT, "checkpoint")}),
    ("gan_seed", pd.NA, {(PRESENT, "gan_seed")}),
]


@pytest.fixture(scope="module")
def merged_findings() -> list[Finding]:
    inputs = merge_inputs(per_class=5)
    first = {"real": 0, "synthetic": len(inputs["train"])}
    merged = inputs["merged"]
    merged["row"] = range(len(merged))
    plant(plant(merged, REAL_CELLS, first["real"]), MADE_CELLS, first["synthetic"])
    return failed_of_merge(inputs)


@pytest.mark.parametrize(("row", "fault"), list(enumerate(REAL_CELLS)))
def test_faulty_real_row_of_the_merged_set(merged_findings, row, fault):
    assert broken_by(merged_findings, row) == fault[2]


@pytest.mark.parametrize(("row", "fault"), list(enumerate(MADE_CELLS, start=10)))
def test_faulty_synthetic_row_of_the_merged_set(merged_findings, row, fault):
    assert broken_by(merged_findings, row) == fault[2]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (held_out_as_real, ("merged", IN_SET, "real_split")),
        (unlabelled_as_real, ("merged", IN_SET, "real_split")),
        (held_out_as_synthetic, ("merged", NULL, "real_split")),
        (copy_among_accepted, ("accepted", NULL, "real_split")),
        (in_two_splits, ("splits ledger", UNIQUE, "image_id")),
    ],
)
def test_leak_into_the_merged_set(spoil, expected):
    inputs = merge_inputs()
    spoil(inputs)
    failed = failed_of_merge(inputs)
    assert [(one.split, one.expectation, one.column) for one in failed] == [expected]


def test_held_out_image_is_named_with_its_split():
    inputs = merge_inputs()
    held_out_as_real(inputs)
    (finding,) = failed_of_merge(inputs)
    (row,) = finding.failing
    assert row.image_id == inputs["val"].loc[0, "image_id"]
    assert row.value == "real_split val"


def test_image_twice_in_the_merged_set():
    inputs = merge_inputs()
    merged = inputs["merged"]
    inputs["merged"] = pd.concat([merged, merged.iloc[[-1]]], ignore_index=True)
    failed = {(one.expectation, one.column) for one in failed_of_merge(inputs, ratio=2.0)}
    assert failed == {(UNIQUE, "image_id")}


def test_too_high_a_ratio_names_the_gan():
    inputs = merge_inputs()
    keep = ~((inputs["merged"]["gan_seed"] == 1) & (inputs["merged"]["label"] == 0))
    inputs["merged"] = inputs["merged"][keep.fillna(True)].reset_index(drop=True)
    (finding,) = failed_of_merge(inputs, ratio=0.75)
    assert (finding.column, [row.source for row in finding.failing]) == ("ratio", ["GAN 0"])
    assert finding.failing[0].value == "ratio 1"


def test_more_of_a_class_than_were_asked_for_names_gan_and_class():
    inputs = merge_inputs()
    asked = {name: frame for name, frame in inputs.items() if name != "val"}
    suites = merged_suites(**asked, asked={0: 5, 1: 3})
    (finding,) = [one for one in check_suites(suites) if not one.passed]
    assert finding.column == "beyond"
    assert [row.source for row in finding.failing] == ["GAN 0, class dog", "GAN 1, class dog"]
