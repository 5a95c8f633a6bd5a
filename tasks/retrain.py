"""Stage 7, retrain: every arm, every seed, equal steps, judged once on real/test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch

from tasks.classifier.arms import ARM_TABLE, gan_seed_of, training_set
from tasks.classifier.networks import build_classifier
from tasks.classifier.scores import scores_of
from tasks.classifier.training import Probabilities, Schedule, fit, probabilities
from tasks.contracts.image_set import ImageSet, Labels
from tasks.contracts.params import RetrainParams
from tasks.contracts.progress import progress
from tasks.contracts.stage import die_with_parent, stage_main


@dataclass(frozen=True)
class _Job:
    """One run: an arm, a classifier seed, and the GAN whose images it may see (None: none)."""

    arm: str
    seed: int
    gan_seed: int | None


def run(
    *,
    merged: Path,
    control: Path,
    test: Path,
    runs: Path,
    predictions: Path,
    params: RetrainParams,
    seed: int,
) -> None:
    """Train every arm with every seed in worker processes; keep scores and test predictions."""
    sets = [ImageSet.load(path) for path in (merged, control, test)]
    judged = sets[2]
    size, _, channels = judged.image_shape
    build_classifier(  # a wrong name must fail here, once, not in every worker
        params.classifier, channels=channels, classes=len(judged.class_names), image_size=size
    )
    jobs = _jobs(sets[0], params)
    tasks = [joblib.delayed(_run_job)(job, *sets, params, seed) for job in jobs]
    results = []
    with progress("retrain") as watch:
        parallel = joblib.Parallel(n_jobs=joblib.cpu_count(), return_as="generator")
        for job, result in zip(jobs, parallel(tasks), strict=True):
            results.append((job, result))
            watch(len(results) / len(jobs), f"{job.arm}, seed {job.seed}")
    _save(pd.DataFrame([_run_row(job, judged.labels, out) for job, out in results]), runs)
    _save(pd.concat([_predictions(job, judged, out) for job, out in results]), predictions)
    print(f"{len(jobs)} runs: {len(ARM_TABLE)} arms x {len(params.seeds)} seeds")


def _jobs(merged: ImageSet, params: RetrainParams) -> list[_Job]:
    """Every arm x seed. The longest (with synthetic images) need no order: steps are equal."""
    gan_seeds: Labels = np.unique(merged.manifest["gan_seed"].dropna().to_numpy(np.int64))
    return [
        _Job(name, seed, gan_seed_of(number, gan_seeds) if arm.synthetic else None)
        for name, arm in ARM_TABLE.items()
        for number, seed in enumerate(params.seeds)
    ]


def _run_job(
    job: _Job,
    merged: ImageSet,
    control: ImageSet,
    test: ImageSet,
    params: RetrainParams,
    seed: int,
) -> Probabilities:
    """Train one classifier (in a worker) and return its test probabilities ``[N, K]``."""
    die_with_parent()
    torch.set_num_threads(1)  # the same bytes whatever the number of cores
    arm = ARM_TABLE[job.arm]
    train = training_set(arm, merged, control, -1 if job.gan_seed is None else job.gan_seed)
    schedule = Schedule(
        classifier=params.classifier,
        steps=params.steps,
        batch_size=params.batch_size,
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
    )
    network = fit(
        train,
        schedule,
        classes=len(merged.class_names),
        augment=arm.augment,
        flip=params.flip,
        seed=seed * 1_000_003 + job.seed,
    )
    return probabilities(network, test)


def _run_row(job: _Job, labels: Labels, predicted: Probabilities) -> dict[str, object]:
    return {"arm": job.arm, "seed": job.seed, "gan_seed": job.gan_seed} | scores_of(
        labels, predicted
    )


def _predictions(job: _Job, test: ImageSet, predicted: Probabilities) -> pd.DataFrame:
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


def _save(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.astype({"gan_seed": "Int64"}).to_parquet(path, index=False)


if __name__ == "__main__":
    stage_main(run)
