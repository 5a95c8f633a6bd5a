from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tasks.adapters.expectations import build_data_docs, check_suites
from tasks.adapters.findings import Finding, refusal
from tasks.adapters.real_suites import groups_given, real_suites
from tasks.adapters.suites import Check, Suite
from tasks.contracts.params.validate import ValidateParams
from tasks.data.pixel_stats import describe
from tests.adapters.planted_faults import (
    BETWEEN,
    EQUAL,
    IN_SET,
    NAMED,
    PRESENT,
    ROWS,
    UNIQUE,
    broken_by,
    plant,
)
from tests.data.fake_sets import image_set, noise_set

PARAMS = ValidateParams(
    min_train_per_class=3, min_val_per_class=2, min_test_per_class=4, min_pixel_std=1.0,
    useful_train_per_class=1, useful_val_per_class=1, useful_test_per_class=1,
    max_robust_z=1000.0, max_drift=0.1, max_suspect_share=0.05,
)  # fmt: skip
Frames = dict[str, pd.DataFrame]


@pytest.fixture
def frames() -> Frames:
    sizes = {"train": 4, "val": 3, "test": 5}
    return {
        split: describe(noise_set(count, seed=seed))
        for seed, (split, count) in enumerate(sizes.items())
    }


def test_clean_sets_pass_every_expectation(frames):
    findings = check_suites(real_suites(frames, PARAMS))
    assert all(finding.passed for finding in findings)
    assert not any(finding.failing for finding in findings)
    for split in frames:
        asked = {(one.expectation, one.column) for one in findings if one.split == split}
        assert {(PRESENT, "source"), (UNIQUE, "image_id"), (BETWEEN, "images")} <= asked


def repeat_within(frames: Frames) -> None:
    frames["val"] = pd.concat([frames["val"], frames["val"].iloc[[1]]], ignore_index=True)


def repeat_across(frames: Frames) -> None:
    frames["val"] = pd.concat([frames["val"], frames["train"].iloc[[1]]], ignore_index=True)


def share_a_group(frames: Frames) -> None:
    frames["val"].loc[1, "group"] = frames["train"].loc[0, "group"]


def lose_a_class(frames: Frames) -> None:
    frames["val"] = frames["val"].query("label != 1").reset_index(drop=True)


def lose_an_image(frames: Frames) -> None:
    frames["val"] = frames["val"].iloc[2:].reset_index(drop=True)  # one cat is left of three


def lose_all(frames: Frames) -> None:
    frames["val"] = frames["val"].iloc[:0]


def resize(column: str) -> Callable[[Frames], None]:
    def spoil(frames: Frames) -> None:
        frames["val"][column] = 3

    return spoil


CELL_FAULTS = [
    ("image_id", None, {(PRESENT, "image_id"), (EQUAL, "image_id, pixel_id")}),
    ("class_name", None, {(PRESENT, "class_name"), NAMED}),
    ("source", None, {(PRESENT, "source")}),
    ("group", None, {(PRESENT, "group")}),
    ("origin", None, {(PRESENT, "origin")}),
    ("label", 1, {NAMED}),
    ("label", 7, {(IN_SET, "label"), NAMED}),
    ("label", -1, {(IN_SET, "label"), NAMED}),
    ("class_name", "dog", {NAMED}),
    ("class_name", "ghost", {NAMED}),
    ("origin", "synthetic", {(IN_SET, "origin")}),
    ("pixel_min", -1, {(BETWEEN, "pixel_min")}),
    ("pixel_max", 256, {(BETWEEN, "pixel_max")}),
    ("pixel_std", 0.5, {(BETWEEN, "pixel_std")}),
    ("pixel_id", "f" * 64, {(EQUAL, "image_id, pixel_id")}),
    ("height", 9, {(IN_SET, "height")}),
    ("width", 4, {(IN_SET, "width")}),
    ("channels", 3, {(IN_SET, "channels")}),
]


@pytest.fixture(scope="module")
def cell_findings() -> list[Finding]:
    """All the faults above at once, each in a row of its own: suites are slow to check."""
    sizes = {"train": 4, "val": len(CELL_FAULTS) + 2, "test": 5}
    frames = {
        split: describe(noise_set(count, seed=seed))
        for seed, (split, count) in enumerate(sizes.items())
    }
    frames["val"] = plant(frames["val"], CELL_FAULTS)
    return check_suites([one for one in real_suites(frames, PARAMS) if one.split == "val"])


@pytest.mark.parametrize(("row", "fault"), list(enumerate(CELL_FAULTS)))
def test_faulty_cell_fails_its_own_expectation_alone(cell_findings, row, fault):
    assert broken_by(cell_findings, row) == fault[2]


def test_rows_without_a_fault_fail_nothing(cell_findings):
    assert broken_by(cell_findings, len(CELL_FAULTS)) == set()
    assert not any(one.failing for one in cell_findings if one.passed)
    assert [one.passed for one in cell_findings if one.column == "images"] == [True, True]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (resize("height"), {(IN_SET, "height")}),
        (repeat_within, {(UNIQUE, "image_id")}),
        (lose_a_class, {(BETWEEN, "images")}),
        (lose_an_image, {(BETWEEN, "images")}),
        (lose_all, {(ROWS, ""), (BETWEEN, "images")}),
    ],
)
def test_faulty_set_fails_its_own_expectation_alone(frames, spoil, expected):
    spoil(frames)
    suites = [suite for suite in real_suites(frames, PARAMS) if suite.split == "val"]
    failed = [finding for finding in check_suites(suites) if not finding.passed]
    assert {(one.expectation, one.column) for one in failed} == expected
    assert all(one.failing or one.expectation == ROWS for one in failed)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (repeat_across, {(UNIQUE, "image_id"), (UNIQUE, "group")}),
        (share_a_group, {(UNIQUE, "group")}),
        (repeat_within, set()),
    ],
)
def test_fault_across_splits(frames, spoil, expected):
    spoil(frames)
    suites = [suite for suite in real_suites(frames, PARAMS) if suite.split == "all splits"]
    failed = [finding for finding in check_suites(suites) if not finding.passed]
    assert {(one.expectation, one.column) for one in failed} == expected
    for finding in failed:
        assert {row.split for row in finding.failing} == {"train", "val"}


def test_outliers_few_images_and_drift_warn_and_do_not_stop(frames):
    frames["val"].loc[1, "pixel_std"] = 4.0
    frames["train"] = describe(noise_set(60, seed=9))
    bright = noise_set(60, seed=8)
    dark = image_set(bright.images // 2, bright.labels.tolist(), ("cat", "dog"))
    frames["test"] = describe(dark)
    frames["train"].loc[0, "brightness"] = 255.0
    few = {"useful_val_per_class": 10, "max_robust_z": 6.0}
    failed = [
        one
        for one in check_suites(real_suites(frames, PARAMS.model_copy(update=few)))
        if not one.passed
    ]
    assert all(one.warns and not one.stops for one in failed)
    told = {(one.split, one.column): [row.source for row in one.failing] for one in failed}
    assert told["train", "brightness_z"] == [frames["train"]["source"][0]]
    assert frames["val"]["source"][1] in told["val", "contrast_z"]
    assert told["val", "images"] == ["cat", "dog"]
    assert told["all splits", "drift"] == [
        "brightness of test", "contrast of test", "sharpness of test",
    ]  # fmt: skip


def test_few_test_images_are_told_as_how_well_recall_is_known(frames):
    params = PARAMS.model_copy(update={"useful_test_per_class": 50})
    (finding,) = (one for one in check_suites(real_suites(frames, params)) if not one.passed)
    assert finding.warns
    assert "±14 points" in finding.explanation
    assert "with 5 of them the recall of cat is known to within ±44" in finding.mend


@pytest.mark.parametrize(
    ("groups", "given", "explanation"),
    [
        (None, False, None),
        ("twins", False, "No pair of near-twins is in two splits"),
        ("patient 1", True, "No group is in two splits"),
    ],
)
def test_groups_are_asked_about_only_where_there_are_any(frames, groups, given, explanation):
    if groups:
        own = frames["train"].loc[0, "image_id"] if groups == "twins" else groups
        frames["train"].loc[:1, "group"] = own
    suites = real_suites(frames, PARAMS)
    asked = [
        check.explanation
        for suite in suites
        for check in suite.checks
        if suite.split == "all splits" and check.columns == ("group",)
    ]
    assert groups_given(frames.values()) is given
    assert [text.split(",")[0] for text in asked] == ([explanation] if explanation else [])


def test_many_suspect_labels_warn_and_few_do_not(frames):
    for seen, held in ((1, True), (6, False)):
        suggested = pd.Series([None] * 8, dtype="object")
        suggested[:seen] = "dog"
        frames["train"]["suggested"] = suggested
        params = PARAMS.model_copy(update={"max_suspect_share": 0.5})
        findings = check_suites(real_suites(frames, params))
        (finding,) = (one for one in findings if one.column == "suggested")
        assert (finding.passed, finding.stops) == (held, False)
        assert len(finding.failing) == (0 if held else 6)


def test_a_single_class_fails(frames):
    single = {split: frame.query("label == 0") for split, frame in frames.items()}
    failed = [one for one in check_suites(real_suites(single, PARAMS)) if not one.passed]
    assert [(one.split, one.expectation) for one in failed] == [("all splits", ROWS)]


def test_class_missing_from_train_is_named(frames):
    frames["train"] = frames["train"].query("class_name != 'dog'").reset_index(drop=True)
    failed = [one for one in check_suites(real_suites(frames, PARAMS)) if one.stops]
    assert [(one.split, one.column) for one in failed] == [("train", "images")]
    assert [(row.source, row.value) for row in failed[0].failing] == [("dog", "images 0")]


def test_failing_rows_name_the_image(frames):
    frames["test"].loc[3, "pixel_std"] = 0.0
    (finding,) = (one for one in check_suites(real_suites(frames, PARAMS)) if one.stops)
    (row,) = finding.failing
    image = frames["test"].loc[3]
    assert (row.split, row.row, row.value) == ("test", 3, "pixel_std 0")
    assert (row.image_id, row.source) == (image["image_id"], image["source"])
    assert finding.observed == "1 of 10 images fail (pixel_std 0)"


def test_refusal_names_expectation_split_and_first_rows(frames, tmp_path):
    frames["test"]["pixel_std"] = 0.0
    findings = check_suites(real_suites(frames, PARAMS))
    message = str(refusal("validate", findings, tmp_path / "page.html"))
    assert "expect_column_values_to_be_between(pixel_std) on test" in message
    assert "10 of 10 images" in message
    assert all(source in message for source in frames["test"]["source"][:3])
    assert frames["test"]["source"][3] not in message
    assert "and 7 more" in message
    assert "min_pixel_std" in message
    assert "page.html" in message


def test_findings_become_json_with_the_count_of_rows_left_out():
    frame = pd.DataFrame({"class_name": [f"class {k}" for k in range(30)], "images": 0})
    suites = [Suite("few", "val", "classes", frame, (Check(BETWEEN, MANY, "why", "mend"),))]
    content = json.loads(json.dumps(check_suites(suites)[0].as_json()))
    assert (content["failing"], len(content["rows"])) == (30, 20)


MANY = {"column": "images", "min_value": 1}


def test_expectation_that_cannot_be_evaluated_is_a_bug_and_no_finding():
    frame = pd.DataFrame({"images": ["three"]})
    suites = [Suite("odd", "val", "classes", frame, (Check(BETWEEN, MANY, "why", "mend"),))]
    with pytest.raises(RuntimeError, match="could not be evaluated"):
        check_suites(suites)


def test_data_docs_are_built_and_show_the_failure(tmp_path):
    sets = {split: noise_set(5, seed=seed) for seed, split in enumerate(("train", "val", "test"))}
    dark = np.array(sets["val"].images)
    dark[0] = 0
    sets["val"] = type(sets["val"])(dark, sets["val"].manifest)
    frames = {split: describe(one) for split, one in sets.items()}
    index = build_data_docs(real_suites(frames, PARAMS), tmp_path / "docs")
    assert index == tmp_path / "docs" / "index.html"
    assert "val images" in index.read_text(encoding="utf-8")
    pages = list((tmp_path / "docs" / "validations").rglob("*.html"))
    assert len(pages) == 12  # a suite each
    assert any("is blank" in page.read_text(encoding="utf-8") for page in pages)


def test_nothing_is_imported_or_set_before_a_suite_is_checked():
    code = (
        "import os, sys, tasks.adapters.expectations, tasks.validate, tasks.merge;"
        "assert 'great_expectations' not in sys.modules;"
        "assert 'GX_ANALYTICS_ENABLED' not in os.environ"
    )
    environment = {"PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
