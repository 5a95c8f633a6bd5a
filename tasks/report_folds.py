"""Stage ``report_folds``, after the line of every fold: the answer over all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pandas as pd

from tasks.adapters.tracking.pipeline import log_folds
from tasks.answer import names, words
from tasks.answer.figures import metrics_text
from tasks.answer.page import library_versions, render_folds
from tasks.answer.pictures import draw_lift_by_arm, draw_per_class_lift, draw_real_curve
from tasks.answer.terminal import terminal
from tasks.contracts.errors import UserError
from tasks.contracts.machine import processor
from tasks.contracts.outputs import Output, shown
from tasks.contracts.params.report import ReportParams
from tasks.contracts.privacy import Guarantee
from tasks.contracts.stage import Setting, stage_main
from tasks.lift.folds import Fold, over_folds, predictions_of, runs_over
from tasks.lift.result import LiftResult
from tasks.lift.sharing import sharing_over


def run(
    *,
    dataset: Annotated[str, Setting("ingest.source")],
    folds: Path,
    count: int,
    lift: Output,
    page: Output,
    pictures: Output,
    runs: Output,
    gan_metrics: Output,
    metrics: Output,
    params: ReportParams,
    seed: int,
) -> None:
    """Estimate the lift over all folds, take the verdict, draw it and tell it.

    Args as in ``folds/dvc.yaml``; ``folds`` is the folder that holds the reports of fold 1 to
    ``count``, each as the line wrote them.
    """
    reports = [folds / str(number) / "reports" for number in range(1, count + 1)]
    every = [_fold(number, place) for number, place in enumerate(reports, start=1)]
    ingested = _json(reports[0] / "ingest.json")
    gans = {
        f"{gan} of fold {fold.number}": of
        for fold, place in zip(every, reports, strict=True)
        for gan, of in _json(place / "gan.json").items()
    }
    found = over_folds(every, ingested["classes"], params, seed)
    shared = sharing_over([fold.result.sharing for fold in every], _spent_together(gans))
    result = words.told(found.model_copy(update={"sharing": shared}))
    draw_lift_by_arm(result, pictures / "lift_by_arm.png")
    draw_per_class_lift(result, pictures / "per_class_lift.png")
    if result.worth:
        draw_real_curve(result, result.worth, pictures / "real_curve.png")
    left_out = {
        arm: f"in fold {fold.number}, {why}"
        for fold in every
        for arm, why in fold.retrained["left_out"].items()
    }
    for path in (lift, page, runs, gan_metrics, metrics):
        path.parent.mkdir(parents=True, exist_ok=True)
    lift.write_text(result.dumps(), encoding="utf-8")
    page.write_text(
        render_folds(
            result,
            pictures,
            dataset=ingested["dataset"],
            left_out=left_out,
            exposure=names.exposure(every[0].retrained),
            versions=library_versions(),
            processor=processor(),
        ),
        encoding="utf-8",
    )
    runs_over(every, predictions_of(every), ingested["classes"]).to_parquet(runs, index=False)
    text = json.dumps(gans, indent=2, ensure_ascii=False) + "\n"
    gan_metrics.write_text(text, encoding="utf-8")
    accepted = [_json(place / "filter.json")["acceptance_rate"] for place in reports]
    metrics.write_text(metrics_text(result, gans, accepted), encoding="utf-8")
    print(terminal(result))
    print(f"report   {shown(page)}", flush=True)
    log_folds(
        f"{count} folds",
        dataset=dataset,
        lift=lift,
        page=page,
        pictures=pictures,
        runs=runs,
        gan_metrics=gan_metrics,
    )


def _fold(number: int, place: Path) -> Fold:
    for name in ("runs.parquet", "predictions.parquet", "retrain.json", "gan.json", "ingest.json"):
        if not (place / name).is_file():
            raise UserError(
                str(place / name), "is missing", "Run `ganlift run`, which makes all folds"
            )
    return Fold(
        number,
        pd.read_parquet(place / "runs.parquet"),
        pd.read_parquet(place / "predictions.parquet"),
        _json(place / "retrain.json"),
        LiftResult.load(place / "lift.json"),
    )


def _spent_together(gans: Mapping[str, Any]) -> float | None:
    """Return ε of the GANs of all folds together; None where one has no guarantee."""
    promised = [of.get("privacy") for of in gans.values()]
    if not all(promised):
        return None
    from tasks.gan.accounting import composed  # Opacus takes seconds to import

    return composed([Guarantee(**one) for one in promised])


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


if __name__ == "__main__":
    stage_main(run, section="report")
