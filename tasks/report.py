"""Stage 8, report: judge the runs, and write the result for machines and for people."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.adapters.tracking import log_pipeline
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params import ReportParams
from tasks.contracts.stage import stage_main
from tasks.lift.estimates import Estimates, estimate
from tasks.lift.evidence import (
    REASONS,
    draw_filter_reasons,
    draw_gan_curves,
    draw_real_beside_synthetic,
)
from tasks.lift.page import Evidence, render_page
from tasks.lift.pictures import draw_lift_by_arm, draw_per_class_lift
from tasks.lift.predictions import Predictions, read_predictions
from tasks.lift.summary import Material, arms_table, headline, summarise

_LIBRARIES = ("torch", "torchvision", "scikit-learn", "numpy", "pandas")
_SAME = 1e-4  # between a metric as retrain wrote it and as the predictions give it


def run(
    *,
    dataset: str,
    runs: Path,
    predictions: Path,
    merged: Path,
    control: Path,
    ingest: Path,
    validation: Path,
    gan_metrics: Path,
    gan_curves: Path,
    filter_metrics: Path,
    reasons: Path,
    merge_result: Path,
    lift: Path,
    page: Path,
    pictures: Path,
    arms: Path,
    params: ReportParams,
    seed: int,
) -> None:
    """Estimate the lift with its interval, take the verdict, draw it and tell it."""
    tables = (runs, predictions, gan_curves, reasons)
    for path in (*tables, ingest, validation, gan_metrics, filter_metrics, merge_result):
        if not path.is_file():
            raise UserError(str(path), "is missing", "Run `ganlift run`, which makes it")
    ingested = _json(ingest)
    class_names: list[str] = ingested["classes"]
    run_table = pd.read_parquet(runs)
    judged = read_predictions(pd.read_parquet(predictions), class_names)
    training = ImageSet.load(merged)
    estimates = estimate(judged, len(class_names), params, seed)
    _check_same(estimates, run_table)
    material = Material(
        class_names=class_names,
        merged=training.manifest,
        control=len(ImageSet.load(control)),
        test=np.bincount(judged.labels, minlength=len(class_names)).tolist(),
        seeds=judged.arms[params.treatment].seeds,
        gan_seeds=_gan_seeds(judged, params.treatment),
    )
    gans = _json(gan_metrics)
    result = summarise(estimates, material, run_table, gans, params)
    reason_table = pd.read_csv(reasons, dtype={"class_name": str}, keep_default_na=False)

    draw_lift_by_arm(result, pictures / "lift_by_arm.png")
    draw_per_class_lift(result, pictures / "per_class_lift.png")
    draw_real_beside_synthetic(training, pictures / "real_beside_synthetic.png", seed)
    draw_gan_curves(pd.read_csv(gan_curves), pictures / "gan_curves.png")
    draw_filter_reasons(reason_table, class_names, pictures / "filter_reasons.png")
    evidence = Evidence(
        ingest=ingested,
        validation=_json(validation),
        gans=gans,
        filter=_json(filter_metrics),
        reasons={
            reason: int(reason_table.loc[reason_table["reason"] == reason, "count"].sum())
            for reason in REASONS
        },
        merge=_json(merge_result),
        versions={name: version(name) for name in _LIBRARIES},
    )
    for path in (lift, page, arms):
        path.parent.mkdir(parents=True, exist_ok=True)
    lift.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    arms_table(result).to_csv(arms, index=False)
    page.write_text(render_page(result, evidence, pictures), encoding="utf-8")
    print(headline(result))
    print(f"report   {page}", flush=True)
    log_pipeline(
        dataset=dataset, lift=lift, page=page, pictures=pictures, runs=runs, gan_metrics=gan_metrics
    )


def _check_same(estimates: Estimates, runs: pd.DataFrame) -> None:
    """Refuse runs and predictions that do not belong together."""
    for arm, metrics in estimates.values.items():
        rows = runs[runs["arm"] == arm].sort_values("seed")
        for name, values in metrics.items():
            written = rows[name].to_numpy(np.float64)
            if written.shape != values.shape or not np.allclose(written, values, atol=_SAME):
                raise UserError(
                    f"arm {arm!r}",
                    f"{name} in the runs is not what the predictions give",
                    "Run `ganlift run --from retrain`, which makes both anew",
                )


def _gan_seeds(predictions: Predictions, treatment: str) -> list[int]:
    return sorted(set(predictions.arms[treatment].gan_seeds or ()))


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


if __name__ == "__main__":
    stage_main(run)
