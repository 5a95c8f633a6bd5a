"""Stage 7, retrain: every arm, every seed, equal steps and real batches, judged on real/test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.classifier.arms import Stock, arm_table, missing_images
from tasks.classifier.leaks import refuse_absent_classes, refuse_leaks
from tasks.classifier.runs import (
    Comparison,
    Job,
    Outcome,
    jobs_of,
    run_all,
    settle,
)
from tasks.classifier.saved import ClassifierConfig, State, save_classifier
from tasks.classifier.scores import scores_of
from tasks.classifier.training import Schedule, untrained
from tasks.classifier.weights import load_weights, weights_digest
from tasks.contracts.image_set import ImageSet
from tasks.contracts.outputs import Output
from tasks.contracts.params.retrain import RetrainParams
from tasks.contracts.progress import progress
from tasks.contracts.stage import stage_main

SCHEMA = "ganlift/retrain/1"
Scores = dict[str, float]


@dataclass(frozen=True)
class _Kept:
    """The best classifier of the treatment so far."""

    job: Job
    state: State
    test: Scores
    val: Scores

    @property
    def rank(self) -> tuple[float, float, int]:
        """Lower is better; real/val alone decides."""
        return -self.val["balanced_accuracy"], self.val["log_loss"], self.job.seed


def run(
    *,
    merged: Path,
    control: Path,
    val: Path,
    spare: Path,
    pseudo: Path,
    test: Path,
    runs: Output,
    predictions: Output,
    classifier: Output,
    summary: Output,
    params: RetrainParams,
    seed: int,
) -> None:
    """Train every arm with every seed in worker processes; keep scores and test predictions.

    Arms whose images are not there are left out, and told. The classifier of the arm with
    filtered images that is best on real/val is kept.
    """
    both = ImageSet.load(merged)
    made = (both.manifest["origin"] == "synthetic").to_numpy(np.bool_)
    judged = {"test": ImageSet.load(test), "val": ImageSet.load(val)}
    stock = Stock(both.take(~made), both.take(made), *map(ImageSet.load, (control, spare, pseudo)))
    held_out = {f"real/{name}": images for name, images in judged.items()}
    paths = (merged, control, spare, pseudo)
    refuse_leaks({str(path): ImageSet.load(path) for path in paths}, held_out)
    refuse_absent_classes(stock.real.class_names, held_out)
    comparison, left_out = _comparison(stock, params, seed)
    comparison, search = _settled(comparison, judged["val"], params)
    rows: list[dict[str, Any]] = []
    said: list[pd.DataFrame] = []
    kept: _Kept | None = None
    for job, outcome in _all_runs(comparison, judged, params):
        scores = {name: scores_of(judged[name].labels, outcome.said[name]) for name in judged}
        rows.append(_row(job, outcome, scores))
        said.append(_predictions(job, judged["test"], outcome))
        if outcome.state is not None:
            one = _Kept(job, outcome.state, scores["test"], scores["val"])
            kept = one if kept is None else min(kept, one, key=lambda best: best.rank)
    table = pd.DataFrame(rows)
    _save(table.drop(columns=["real", "added"]), runs)
    _save(pd.concat(said), predictions)
    assert kept is not None, "the arm with filtered images always runs"
    content = {
        "schema": SCHEMA,
        "classifier": params.classifier,
        "weights": None if params.weights is None else _told(Path(params.weights)),
        "learning_rate": comparison.schedule.learning_rate,
        "weight_decay": comparison.schedule.weight_decay,
        "search": search,
        "arms": _sizes(table),
        "left_out": left_out,
        "test": {"images": len(judged["test"]), "digest": _digest(judged["test"])},
        "kept": _keep(classifier, kept, stock.real, params),
    }
    summary.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    summary.write_text(text, encoding="utf-8")
    print(f"{len(rows)} runs: {len(comparison.arms)} arms x {len(params.seeds)} seeds")


def _comparison(
    stock: Stock, params: RetrainParams, seed: int
) -> tuple[Comparison, dict[str, str]]:
    """What all runs share, and why some arms are left out. A wrong name fails here, once."""
    rate, decay = params.learning_rates[0], params.weight_decays[0]
    schedule = Schedule(params.classifier, params.steps, params.batch_size, rate, decay)
    weights = None if params.weights is None else Path(params.weights)
    classes = len(stock.real.class_names)
    network = untrained(schedule, stock.real.image_shape, classes=classes, seed=seed)
    if weights is not None:
        fresh = load_weights(
            network, weights, params.classifier, classes=classes, shape=stock.real.image_shape
        )
        if fresh:
            print(f"{weights.name} fits but for {', '.join(fresh)}, trained from scratch")
    arms = arm_table(params.fractions)
    why = {name: missing_images(arm, stock) for name, arm in arms.items()}
    left_out = {name: reason for name, reason in why.items() if reason is not None}
    for name, reason in left_out.items():
        print(f"{name} is left out: {reason}")
    able = {name: arm for name, arm in arms.items() if name not in left_out}
    return Comparison(stock, able, schedule, params.flip, weights, seed), left_out


def _settled(
    comparison: Comparison, val: ImageSet, params: RetrainParams
) -> tuple[Comparison, list[dict[str, float | bool | None]]]:
    with progress("retrain") as watch:
        return settle(
            comparison,
            val,
            learning_rates=params.learning_rates,
            weight_decays=params.weight_decays,
            seeds=params.seeds,
            watch=watch,
        )


def _all_runs(
    comparison: Comparison, judged: Mapping[str, ImageSet], params: RetrainParams
) -> Iterator[tuple[Job, Outcome]]:
    jobs = jobs_of(comparison, params.seeds)
    with progress("retrain") as watch:
        for done, (job, outcome) in enumerate(run_all(comparison, jobs, judged), start=1):
            yield job, outcome
            watch(done / len(jobs), f"{job.arm}, seed {job.seed}")


def _told(weights: Path) -> str:
    return f"{weights.name}, sha256 {weights_digest(weights)}"


def _row(job: Job, outcome: Outcome, scores: Mapping[str, Scores]) -> dict[str, Any]:
    val = {f"val_{name}": one for name, one in scores["val"].items() if name != "ece"}
    return {
        "arm": job.arm,
        "seed": job.seed,
        "gan_seed": job.gan_seed,
        "steps": outcome.steps,
        "real_seen": outcome.real_seen,
        "added_seen": outcome.added_seen,
        "real": outcome.real,
        "added": outcome.added,
        **scores["test"],
        **val,
    }


def _predictions(job: Job, test: ImageSet, outcome: Outcome) -> pd.DataFrame:
    predicted = outcome.said["test"]
    return pd.DataFrame(
        {
            "arm": job.arm,
            "seed": job.seed,
            "gan_seed": job.gan_seed,
            "image_id": test.manifest["image_id"],
            "group": test.manifest["group"],
            "label": test.labels,
            "predicted": predicted.argmax(axis=1).astype(np.int64),
            "p_label": predicted[np.arange(len(test)), test.labels],
            "confidence": predicted.max(axis=1),
        }
    )


def _sizes(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Images that each arm trains on and is shown a step, on average over its runs."""
    shown = table.assign(added_per_step=table["added_seen"] / table["steps"])
    means = shown.groupby("arm", sort=False)[["real", "added", "added_per_step"]].mean()
    rounded = means.round().astype(int).to_dict(orient="index")
    return {str(arm): {str(key): n for key, n in of.items()} for arm, of in rounded.items()}


def _keep(folder: Path, kept: _Kept, real: ImageSet, params: RetrainParams) -> dict[str, Any]:
    size, _, channels = real.image_shape
    job = kept.job
    config = ClassifierConfig(
        params.classifier, channels, size, real.class_names, job.arm, job.seed, job.gan_seed
    )
    digest = save_classifier(folder, kept.state, config)
    return {
        "arm": job.arm,
        "seed": job.seed,
        "gan_seed": job.gan_seed,
        "sha256": digest,
        "test": kept.test,
        "val": kept.val,
    }


def _digest(test: ImageSet) -> str:
    ids = sorted(test.manifest["image_id"])
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def _save(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.astype({"gan_seed": "Int64"}).to_parquet(path, index=False)


if __name__ == "__main__":
    stage_main(run)
