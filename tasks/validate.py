"""Stage 2, validate: the gate that real images must pass before anything is trained on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.adapters.expectations import check_suites
from tasks.adapters.findings import Finding, refusal
from tasks.adapters.real_suites import OTHER_DOMAIN, RELATED, groups_given, real_suites
from tasks.adapters.validation_page import render_page
from tasks.classifier.suspects import LabelSuspects, suspects
from tasks.contracts.gate import write_gate
from tasks.contracts.image_set import ImageSet
from tasks.contracts.outputs import Explanation, shown
from tasks.contracts.params.validate import ValidateParams
from tasks.contracts.progress import progress
from tasks.contracts.stage import stage_main
from tasks.data.last_validated import drift_since, keep_validated
from tasks.data.pixel_stats import describe

_JUDGED = ("train", "val")  # test stays sealed: labels mended by its images would flatter it
_SUSPECTS_IN_JSON = 100


def run(
    *,
    train: Path,
    val: Path,
    test: Path,
    other_domain: Path,
    related: Path,
    rejects: Path,
    twins: Path,
    gate: Explanation,
    result: Explanation,
    page: Explanation,
    params: ValidateParams,
    seed: int,
) -> None:
    """Check the real images with Great Expectations; the gate says whether all of it held.

    A check that only warns is told on the page and leaves the gate open.

    Args:
        train: image set, as ``val`` and ``test``.
        val: of which labels are judged, as of train.
        test: of which labels are not judged.
        other_domain: images of the same classes, taken otherwise; perhaps none.
        related: images of classes that nobody asks about; perhaps none.
        rejects: table of the files that ingest left out, with ``reason``.
        twins: table of pairs of near-twins, with their sources, classes and correlation.
        gate: whether it is open.
        result: what was found.
        page: likewise, for people.
        params: thresholds.
        seed: of the folds by which labels are judged.
    """
    sets = {
        split: ImageSet.load(folder)
        for split, folder in (("train", train), ("val", val), ("test", test))
    }
    with progress("validate") as report:
        report(0.0, "measuring pixels")
        frames = {split: describe(image_set) for split, image_set in sets.items()}
        report(0.3, "judging labels")
        asked = pd.concat([sets[split].manifest for split in _JUDGED], ignore_index=True)
        judged = suspects([sets[split].images for split in _JUDGED], asked, seed)
        table = _told(judged, frames)
        if judged.judged:
            frames |= {split: _with_suggested(frames[split], table, split) for split in _JUDGED}
        report(0.6, "checking expectations")
        beside = {OTHER_DOMAIN: ImageSet.load(other_domain), RELATED: ImageSet.load(related)}
        described = {name: describe(images) for name, images in beside.items()}
        findings = check_suites(real_suites(frames, params, described))
        report(1.0, f"{len(findings)} expectations checked")
    passed = not any(finding.stops for finding in findings)
    write_gate(gate, passed)
    for path in (result, page):
        path.parent.mkdir(parents=True, exist_ok=True)
    pairs = _table(twins)
    content = _summary(sets, findings) | {
        "groups_given": groups_given(frames.values()),
        "twin_pairs": len(pairs),
        "labels": _labels(judged, table),
    }
    summary = json.dumps(content, indent=2, ensure_ascii=False)
    result.write_text(f"{summary}\n", encoding="utf-8")
    page.write_text(
        render_page(
            findings, sets, params, labels=judged, suspects=table, twins=pairs,
            rejects=_table(rejects), beside=beside,
        ),
        encoding="utf-8",
    )  # fmt: skip
    if not passed:
        raise refusal("validate", findings, page)
    print(f"{_held(findings)}; see {shown(page)}")
    if judged.little_left:
        print(judged.little_left)
    size = sets["train"].image_shape[0]
    moved = drift_since(frames["train"], size)
    for row in moved[moved["drift"] > params.max_drift].to_dict("records"):
        what = str(row["compared"]).removesuffix(" of before")
        print(
            f"warning: {what} of real/train differs from that of the last images that passed, by a "
            f"distance of {row['drift']:g} beyond chance (validate.max_drift {params.max_drift:g})"
        )
    keep_validated(frames["train"], size)


def _told(judged: LabelSuspects, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the suspects by ``split`` and ``row`` in it, with source and names of classes."""
    told = ["split", "row", "source", "class_name", "label"]
    both = pd.concat([frames[split].assign(split=split) for split in _JUDGED])[told]
    names = dict(zip(both["label"], both["class_name"], strict=True))
    suggested = judged.rows["suggested"].map(names).astype("str")
    found = both.iloc[judged.rows["row"]].reset_index(drop=True).drop(columns="label")
    return found.assign(
        suggested=suggested,
        p_given=judged.rows["p_given"],
        p_suggested=judged.rows["p_suggested"],
    )


def _with_suggested(frame: pd.DataFrame, table: pd.DataFrame, split: str) -> pd.DataFrame:
    own = table[table["split"] == split].set_index("row")["suggested"]
    return frame.assign(suggested=frame["row"].map(own).astype("object"))


def _table(path: Path) -> pd.DataFrame:
    """Return a table of texts; an empty file is one without rows."""
    if path.stat().st_size == 0:
        return pd.DataFrame()
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _held(findings: Sequence[Finding]) -> str:
    """Return how many expectations held, and the warnings, in one line."""
    warnings = [finding for finding in findings if finding.warns]
    if not warnings:
        return f"all {len(findings)} expectations held"
    first = warnings[0]
    rest = f", and {len(warnings) - 1} more" if len(warnings) > 1 else ""
    return (
        f"{len(findings) - len(warnings)} of {len(findings)} expectations held; warning on "
        f"{first.split}: {first.explanation}, but {first.observed}{rest}"
    )


def _labels(judged: LabelSuspects, table: pd.DataFrame) -> dict[str, Any]:
    return {
        "judged": judged.judged,
        "probe_recall": judged.recall,
        "suspects": len(table),
        "rows": table.head(_SUSPECTS_IN_JSON).to_dict("records"),
    }


def _summary(sets: Mapping[str, ImageSet], findings: Sequence[Finding]) -> dict[str, Any]:
    splits = {}
    for split, image_set in sets.items():
        own = [finding for finding in findings if finding.split == split]
        splits[split] = {"images": len(image_set), "expectations": len(own), **_outcomes(own)}
    return {
        "schema": "ganlift/validation/2",
        "success": not any(finding.stops for finding in findings),
        "checked": len(findings),
        **_outcomes(findings),
        "splits": splits,
        "expectations": [finding.as_json() for finding in findings],
    }


def _outcomes(findings: Sequence[Finding]) -> dict[str, int]:
    return {
        "failed": sum(finding.stops for finding in findings),
        "warned": sum(finding.warns for finding in findings),
    }


if __name__ == "__main__":
    stage_main(run)
