"""Stage 5, quality_filter: keep what discriminator and out-of-sample classifiers accept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.classifier.crossfit import cross_fit
from tasks.classifier.networks import SMALL_CNN
from tasks.classifier.training import Probabilities, Schedule
from tasks.contracts.image_set import ImageSet, concatenate
from tasks.contracts.params import QualityFilterParams
from tasks.contracts.progress import progress
from tasks.contracts.stage import stage_main
from tasks.gan.checkpoint import checkpoints, load_config, load_discriminator
from tasks.gan.feasibility import check_checkpoint
from tasks.gan.pool import make_fresh
from tasks.gan.scoring import discriminator_logits
from tasks.quality.calibration import calibrate
from tasks.quality.memorisation import copy_threshold, nearest
from tasks.quality.selection import (
    ACCEPTED,
    COPY,
    REASONS,
    Scores,
    check_every_class,
    class_thresholds,
    decide,
    random_control,
)

_SCHEDULE = Schedule(SMALL_CNN, steps=0, batch_size=64, learning_rate=0.002, weight_decay=0.01)


def run(
    *,
    train: Path,
    val: Path,
    unlabelled: Path,
    gan: Path,
    pool: Path,
    accepted: Path,
    control: Path,
    scores: Path,
    reasons: Path,
    metrics: Path,
    params: QualityFilterParams,
    seed: int,
) -> None:
    """Score the pool, accept by per-class thresholds, and draw an equal control at random."""
    real, held_out, candidates = (ImageSet.load(path) for path in (train, val, pool))
    shown = _shown(real, ImageSet.load(unlabelled), gan)
    table, report = _score(real, shown, held_out, candidates, gan, params, seed)
    for path in (scores, reasons, metrics):
        path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(scores, index=False)
    _count_reasons(table).to_csv(reasons, index=False)
    check_every_class(table)
    columns = ["p_real", "confidence", "nearest_distance"]
    scored = ImageSet(candidates.images, candidates.manifest.assign(**table[columns]))
    keep = np.flatnonzero(table["reason"] == ACCEPTED)
    scored.take(keep).save(accepted)
    scored.take(random_control(table, seed)).save(control)
    report |= {
        "pool": len(table),
        "accepted": len(keep),
        "acceptance_rate": round(len(keep) / len(table), 4),
        "copies": int((table["reason"] == COPY).sum()),
    }
    metrics.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"accepted {len(keep)} of {len(table)}, {report['copies']} copies thrown out")


def _shown(real: ImageSet, unlabelled: ImageSet, gan: Path) -> ImageSet:
    """Return all that a GAN may have copied."""
    used = any(
        load_config(folder)["train_gan"]["unlabelled"] != "none"
        for folder in checkpoints(gan).values()
    )
    return concatenate([real, unlabelled]) if used else real


def _score(
    real: ImageSet,
    shown: ImageSet,
    held_out: ImageSet,
    pool: ImageSet,
    gan: Path,
    params: QualityFilterParams,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the pool's scores and reasons, one row an image, and what the filter measured."""
    schedule = replace(_SCHEDULE, steps=params.classifier_steps)
    with progress("quality_filter") as watch:
        crossfit = cross_fit(
            real, pool, schedule, folds=params.folds, seed=seed * 1000 + 500, watch=watch
        )
    limits = class_thresholds(
        _of_label(crossfit.real, real),
        real.labels,
        len(real.class_names),
        params.confidence_quantile,
    )
    near = nearest(pool.images, shown.images)
    too_near = copy_threshold(nearest(held_out.images, shown.images).distance, params.copy_quantile)
    exact = pool.manifest["image_id"].isin(shown.manifest["image_id"]).to_numpy()
    table = pool.manifest[["image_id", "label", "class_name", "gan_seed", "latent_seed"]].assign(
        confidence=_of_label(crossfit.others, pool),
        confidence_threshold=limits[pool.labels],
        nearest_distance=near.distance,
        nearest_real=shown.manifest["image_id"].to_numpy()[near.row],
        is_copy=exact | (near.distance < too_near),
    )
    brier = {}
    for gan_seed, folder in checkpoints(gan).items():
        check_checkpoint(folder, real)
        mine = np.flatnonzero(table["gan_seed"] == gan_seed)
        judged = _judge(pool.take(mine), held_out, folder, gan_seed, params, seed)
        table.loc[mine, "p_real"], table.loc[mine, "p_real_threshold"] = judged[:2]
        brier[str(gan_seed)] = round(judged[2], 6)
    table["reason"] = decide(table)
    per_class = {
        str(name): {
            "pool": len(rows),
            "accepted": int((rows["reason"] == ACCEPTED).sum()),
            "p_real_threshold": round(float(rows["p_real_threshold"].mean()), 6),
            "confidence_threshold": round(float(rows["confidence_threshold"].mean()), 6),
        }
        for name, rows in table.groupby("class_name")
    }
    return table, {
        "brier": round(float(np.mean(list(brier.values()))), 6),
        "brier_per_gan": brier,
        "copy_threshold": round(too_near, 6),
        "per_class": per_class,
    }


def _judge(
    mine: ImageSet,
    held_out: ImageSet,
    folder: Path,
    gan_seed: int,
    params: QualityFilterParams,
    seed: int,
) -> tuple[Scores, Scores, float]:
    """Let a GAN's discriminator judge its own images: p(real), thresholds ``[M]``, Brier score."""
    discriminator = load_discriminator(folder)
    fresh = make_fresh(folder, gan_seed, held_out.labels, seed)
    real_logits = discriminator_logits(discriminator, held_out)
    head = calibrate(real_logits, discriminator_logits(discriminator, fresh))
    limits = class_thresholds(
        head.p_real(real_logits), held_out.labels, len(held_out.class_names), params.p_real_quantile
    )
    p_real = head.p_real(discriminator_logits(discriminator, mine))
    return p_real, limits[mine.labels], head.brier


def _of_label(probabilities: Probabilities, images: ImageSet) -> Scores:
    """The probability of each image's own label, ``[N]``."""
    return probabilities[np.arange(len(images)), images.labels].astype(np.float64)


def _count_reasons(table: pd.DataFrame) -> pd.DataFrame:
    """Every class with every reason, zeros too, in a fixed order."""
    names = table[["label", "class_name"]].drop_duplicates().sort_values("label")["class_name"]
    index = pd.MultiIndex.from_product([names, REASONS], names=["class_name", "reason"])
    counts = table.groupby(["class_name", "reason"]).size().reindex(index, fill_value=0)
    return counts.rename("count").reset_index()


if __name__ == "__main__":
    stage_main(run)
