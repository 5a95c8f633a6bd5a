"""Stage 2, validate: the gate that real images must pass before anything is trained on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.adapters.expectations import check_suites
from tasks.adapters.findings import Finding, refusal
from tasks.adapters.real_suites import real_suites
from tasks.adapters.validation_page import render_page
from tasks.contracts.gate import write_gate
from tasks.contracts.image_set import ImageSet
from tasks.contracts.outputs import Explanation, shown
from tasks.contracts.params.validate import ValidateParams
from tasks.contracts.progress import progress
from tasks.contracts.stage import stage_main
from tasks.data.pixel_stats import describe


def run(
    *,
    train: Path,
    val: Path,
    test: Path,
    gate: Explanation,
    result: Explanation,
    page: Explanation,
    params: ValidateParams,
    seed: int,
) -> None:
    """Check the real images with Great Expectations; the gate says whether all of it held."""
    sets = {
        split: ImageSet.load(folder)
        for split, folder in (("train", train), ("val", val), ("test", test))
    }
    with progress("validate") as report:
        report(0.0, "measuring pixels")
        frames = {split: describe(image_set) for split, image_set in sets.items()}
        report(0.4, "checking expectations")
        findings = check_suites(real_suites(frames, params))
        report(1.0, f"{len(findings)} expectations checked")
    passed = all(finding.passed for finding in findings)
    write_gate(gate, passed)
    for path in (result, page):
        path.parent.mkdir(parents=True, exist_ok=True)
    summary = json.dumps(_summary(sets, findings), indent=2, ensure_ascii=False)
    result.write_text(f"{summary}\n", encoding="utf-8")
    page.write_text(render_page(findings, sets, params), encoding="utf-8")
    if not passed:
        raise refusal("validate", findings, page)
    print(f"all {len(findings)} expectations held; see {shown(page)}")


def _summary(sets: Mapping[str, ImageSet], findings: Sequence[Finding]) -> dict[str, Any]:
    splits = {}
    for split, image_set in sets.items():
        own = [finding for finding in findings if finding.split == split]
        failed = sum(not finding.passed for finding in own)
        splits[split] = {"images": len(image_set), "expectations": len(own), "failed": failed}
    return {
        "schema": "ganlift/validation/1",
        "success": all(finding.passed for finding in findings),
        "checked": len(findings),
        "failed": sum(not finding.passed for finding in findings),
        "splits": splits,
        "expectations": [finding.as_json() for finding in findings],
    }


if __name__ == "__main__":
    stage_main(run)
