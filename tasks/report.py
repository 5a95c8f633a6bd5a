"""Stage 8, report: judge the runs, and write the result for machines and for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import pandas as pd

from tasks.adapters.tracking.pipeline import log_folds, log_pipeline
from tasks.answer import words
from tasks.answer.evidence import (
    draw_filter_reasons,
    draw_gan_curves,
    draw_real_beside_synthetic,
    draw_reliability,
)
from tasks.answer.figures import metrics_text
from tasks.answer.funnel import funnel
from tasks.answer.mistakes import Answers, draw_confusion, draw_flips, mistakes
from tasks.answer.page import Evidence, exposure_of, library_versions, render_page
from tasks.answer.pictures import draw_lift_by_arm, draw_per_class_lift, draw_real_curve
from tasks.answer.settling import draw_settling
from tasks.answer.terminal import terminal
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.machine import processor
from tasks.contracts.outputs import Output, shown
from tasks.contracts.params.report import ReportParams
from tasks.contracts.stage import Setting, stage_main
from tasks.lift.sharing import sharing
from tasks.lift.summary import lift_result


def run(
    *,
    dataset: Annotated[str, Setting("ingest.source")],
    runs: Path,
    predictions: Path,
    retrained: Path,
    classifier: Path,
    train: Path,
    val: Path,
    test: Path,
    pool: Path,
    accepted: Path,
    scores: Path,
    merged: Path,
    control: Path,
    ingest: Path,
    validation: Path,
    gan_metrics: Path,
    gan_curves: Path,
    filter_metrics: Path,
    reasons: Path,
    reliability: Path,
    merge_result: Path,
    lift: Output,
    page: Output,
    pictures: Output,
    metrics: Output,
    params: ReportParams,
    seed: int,
) -> None:
    """Estimate the lift with its interval, take the verdict, draw it and tell it."""
    tables = (runs, predictions, scores, gan_curves, reasons, reliability)
    results = (retrained, ingest, validation, gan_metrics, filter_metrics, merge_result)
    for path in (*tables, *results):
        if not path.is_file():
            raise UserError(str(path), "is missing", "Run `ganlift run`, which makes it")
    ingested = _json(ingest)
    training, retraining, gans = ImageSet.load(merged), _json(retrained), _json(gan_metrics)
    run_table, predicted = pd.read_parquet(runs), pd.read_parquet(predictions)
    filtered = _json(filter_metrics)
    found = lift_result(
        run_table,
        predicted,
        ingested["classes"],
        retrained=retraining,
        merged=training.manifest,
        control=len(ImageSet.load(control)),
        gans=gans,
        params=params,
        seed=seed,
    )
    result = words.told(found.model_copy(update={"sharing": sharing(gans, filtered)}))
    reason_table = pd.read_csv(reasons, dtype={"class_name": str}, keep_default_na=False)

    answers = Answers.of(predicted, result.baseline, result.treatment)
    class_names = tuple(ingested["classes"])

    draw_lift_by_arm(result, pictures / "lift_by_arm.png")
    draw_per_class_lift(result, pictures / "per_class_lift.png")
    told = mistakes(answers, ImageSet.load(test), class_names)
    draw_flips(told, class_names, pictures / "flipped.png")
    draw_confusion(answers, class_names, pictures / "confusion.png")
    if result.worth:
        draw_real_curve(result, result.worth, pictures / "real_curve.png")
    if result.classifier.settling:
        draw_settling(result.classifier, pictures / "settling.png")
    draw_real_beside_synthetic(training, pictures / "real_beside_synthetic.png", seed)
    draw_gan_curves(pd.read_csv(gan_curves), pictures / "gan_curves.png")
    draw_filter_reasons(reason_table, ingested["classes"], pictures / "filter_reasons.png")
    draw_reliability(pd.read_csv(reliability), pictures / "reliability.png")
    evidence = Evidence(
        ingest=ingested,
        validation=_json(validation),
        gans=gans,
        filter=filtered,
        funnel=funnel(filtered["rules"], ImageSet.load(pool), pd.read_parquet(scores), seed),
        merge=_json(merge_result),
        retrain=retraining,
        mistakes=told,
        exposure=exposure_of(run_table),
        versions=library_versions(),
        processor=processor(),
    )
    for path in (lift, page, metrics):
        path.parent.mkdir(parents=True, exist_ok=True)
    lift.write_text(result.dumps(), encoding="utf-8")
    metrics.write_text(metrics_text(result, gans, [filtered["acceptance_rate"]]), encoding="utf-8")
    page.write_text(render_page(result, evidence, pictures), encoding="utf-8")
    print(terminal(result))
    print(f"report   {shown(page)}", flush=True)
    files = {
        "lift": lift,
        "page": page,
        "pictures": pictures,
        "runs": runs,
        "gan_metrics": gan_metrics,
    }
    sets = (train, val, test, accepted)
    if ingested["fold"] is None:
        own = {"classifier": classifier, "retrained": retrained}
        log_pipeline(dataset=dataset, sets=sets, **files, **own)
    else:
        fold = f"fold {ingested['fold']} of {ingested['folds']}"
        log_folds(fold, dataset=dataset, sets=sets, **files)


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


if __name__ == "__main__":
    stage_main(run)
