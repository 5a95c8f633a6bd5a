"""Stage 6, merge: real training images and accepted synthetic ones, through a gate of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.adapters.expectations import check_suites
from tasks.adapters.findings import Finding, refusal
from tasks.adapters.merged_suites import merged_suites
from tasks.contracts.image_set import COLUMNS, ImageSet, save_rows
from tasks.contracts.outputs import Explanation, Output
from tasks.contracts.params.merge import MergeParams
from tasks.contracts.progress import progress
from tasks.contracts.stage import stage_main
from tasks.data.mixing import asked_of_each_class, choose_synthetic
from tasks.data.pixel_stats import describe
from tasks.data.tallies import classes_of, gan_counts

_FROM = {"checkpoint": "str", "gan_seed": "Int64", "latent_seed": "Int64"}
_UNREAD = ["pixel_min", "pixel_max", "pixel_std", "brightness", "sharpness"]  # the other gate reads


def run(
    *,
    train: Path,
    accepted: Path,
    splits: Path,
    merged: Output,
    result: Explanation,
    params: MergeParams,
    seed: int,
) -> None:
    """Add accepted synthetic images to the real training images, gated by Great Expectations."""
    real, synthetic = (_with_nullable_seeds(ImageSet.load(path)) for path in (train, accepted))
    counts = real.manifest["label"].value_counts()
    there = {label: int(counts.get(label, 0)) for label in classes_of(real.manifest)}
    asked = asked_of_each_class(params, there, seed)
    rows = choose_synthetic(synthetic.manifest, asked=asked, seed=seed)
    with progress("merge") as report:
        report(0.0, "measuring pixels")
        pool, own = _described(synthetic), _described(real)
        mixed = pd.concat([own, pool.iloc[rows]], ignore_index=True)
        mixed["row"] = mixed.index
        report(0.4, "checking expectations")
        ledger = pd.read_parquet(splits)
        findings = check_suites(merged_suites(mixed, pool, own, ledger, asked))
        report(1.0, f"{len(findings)} expectations checked")
    result.parent.mkdir(parents=True, exist_ok=True)
    summary = _summary(mixed, pool, asked, findings)
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    result.write_text(f"{text}\n", encoding="utf-8")
    if not all(finding.passed for finding in findings):
        raise refusal("merge", findings, result)
    del mixed, pool, own, ledger  # the tables take more room than small images do
    save_rows([(real, np.arange(len(real))), (synthetic, rows)], merged)
    print(
        f"all {len(findings)} expectations held: the merged set has {len(real)} real and "
        f"{len(rows)} synthetic images"
    )
    for name, of in summary["per_class"].items():
        if of["short"]:
            print(
                f"class {name!r} got {of['synthetic']} of the {of['share']} images asked for; "
                "set generate.per_class=auto, which makes as many as are needed, and where it is "
                "auto already raise generate.per_needed"
            )


def _described(image_set: ImageSet) -> pd.DataFrame:
    """Return what the gate looks at: a score that the filter added is no business of its."""
    kept = image_set.manifest[[*COLUMNS, *_FROM]]
    frame = describe(ImageSet(image_set.images, kept)).drop(columns=_UNREAD)
    return frame.astype(dict.fromkeys(("origin", "checkpoint"), "category"))


def _with_nullable_seeds(image_set: ImageSet) -> ImageSet:
    """Return the set with ``checkpoint`` and whole-number seeds, missing where there are none."""
    manifest = image_set.manifest
    columns = [*manifest.columns, *(name for name in _FROM if name not in manifest)]
    manifest = manifest.reindex(columns=columns).astype(_FROM)
    return ImageSet(image_set.images, manifest)


def _summary(
    mixed: pd.DataFrame, pool: pd.DataFrame, asked: dict[int, int], findings: Sequence[Finding]
) -> dict[str, Any]:
    """Return the counts; ``share`` is what a class was to get, ``short`` what it lacks of that.

    ``repeated`` counts accepted images that another row already holds, pixel for pixel.
    """
    real, synthetic = (mixed[mixed["origin"] == origin] for origin in ("real", "synthetic"))
    gans = gan_counts(mixed).set_index("gan_seed")
    every_gan = [int(seed) for seed in sorted(pool["gan_seed"].dropna().unique())]
    per_class = {}
    counted = [frame["label"].value_counts() for frame in (real, pool, synthetic)]
    for label, name in classes_of(real).items():
        own, accepted, chosen = (int(counts.get(label, 0)) for counts in counted)
        share = asked[label] * len(every_gan)
        per_class[name] = {
            "real": own,
            "accepted": accepted,
            "share": share,
            "synthetic": chosen,
            "short": share - chosen,
        }
    return {
        "schema": "ganlift/merge/1",
        "success": all(finding.passed for finding in findings),
        "real": len(real),
        "synthetic": len(synthetic),
        "repeated": int(pool["image_id"].duplicated().sum()),
        "per_gan": {
            str(seed): {
                "synthetic": int(gans["synthetic"].get(seed, 0)),
                "ratio": float(gans["ratio"].get(seed, 0.0)),
            }
            for seed in every_gan
        },
        "per_class": per_class,
        "expectations": [finding.as_json() for finding in findings],
    }


if __name__ == "__main__":
    stage_main(run)
