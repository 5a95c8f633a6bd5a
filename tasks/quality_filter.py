"""Stage 5, quality_filter: keep what discriminator and out-of-sample classifiers accept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.classifier.certainty import Ensemble, certainty
from tasks.classifier.distillation import distil, softly_labelled
from tasks.classifier.examples import Examples
from tasks.classifier.features import train_judge
from tasks.classifier.networks import SMALL_CNN
from tasks.classifier.training import Schedule
from tasks.classifier.trials import Trial, val_balanced_accuracy
from tasks.contracts.image_set import ImageSet, concatenate
from tasks.contracts.outputs import Explanation, Output
from tasks.contracts.params.quality_filter import QualityFilterParams
from tasks.contracts.progress import progress
from tasks.contracts.stage import stage_main
from tasks.gan.checkpoint import (
    check_checkpoint,
    checkpoints,
    load_config,
    load_discriminator,
)
from tasks.gan.pool import ASKED, make_fresh
from tasks.gan.sampling import discriminator_logits
from tasks.quality.calibration import CALIBRATIONS, out_of_fold, tells_nothing
from tasks.quality.copies import find_copies
from tasks.quality.funnel import class_summary, count_reasons, funnel, reached
from tasks.quality.manifold import Authenticity, Realism
from tasks.quality.membership import Suspects, by_nearest, standardised
from tasks.quality.neighbours import Features, Rows, Scores, some
from tasks.quality.rules import COPIES
from tasks.quality.selection import (
    ACCEPTED,
    Scored,
    Shortfall,
    check_any_gan,
    decide,
    emptied,
    emptied_gans,
    random_control,
    real_scores,
    shortfalls,
)
from tasks.quality.tuning import COLUMNS, candidates, summary, tune

_SCHEDULE = Schedule(SMALL_CNN, steps=0, batch_size=64, learning_rate=0.002, weight_decay=0.01)
_TRIALS = 2  # classifiers that judge one candidate of the tuning
_BLOCK = 8192  # pool images looked at together
_CROSS_FITTED = 0.4  # of the progress, where there is tuning after it

Watch = Callable[[float, str], None]


@dataclass(frozen=True)
class _Real:
    """What the pool is held against: real/train, real/val, and all that a GAN may have copied."""

    train: ImageSet
    val: ImageSet
    shown: ImageSet


@dataclass(frozen=True)
class _Judged:
    """The pool's scores, who gave them, features of real/val, figures, reliability curves."""

    scored: Scored
    ensemble: Ensemble
    held_out: Features
    figures: dict[str, Any]
    reliability: pd.DataFrame


def run(
    *,
    train: Path,
    val: Path,
    unlabelled: Path,
    related: Path,
    gan: Path,
    pool: Path,
    accepted: Output,
    control: Output,
    distilled: Output,
    scores: Output,
    reasons: Explanation,
    reliability: Output,
    tuning: Output,
    metrics: Output,
    params: QualityFilterParams,
    seed: int,
) -> None:
    """Score the pool, accept what passes every rule, and draw an equal control at random.

    Where labels are the ensemble's, all three sets have them: accepted, control and distilled,
    which is empty otherwise.
    """
    labelled = ImageSet.load(train)
    images, asked = _without_asked(ImageSet.load(pool))
    beside = {"unlabelled": ImageSet.load(unlabelled), "related": ImageSet.load(related)}
    real = _Real(labelled, ImageSet.load(val), _shown(labelled, beside, gan))
    for path in (scores, reasons, reliability, tuning, metrics):
        path.parent.mkdir(parents=True, exist_ok=True)
    with progress("quality_filter") as watch:
        judged = _judge(real, images, asked, gan, params, seed, watch)
        judged.reliability.to_csv(reliability, index=False)
        if params.labels == "ensemble":
            images = softly_labelled(images, judged.ensemble.shares(images))
        log = pd.DataFrame(columns=list(COLUMNS))
        if params.tune:
            params, log = _tune(real, images, judged.scored, params, seed, watch)
        log.to_csv(tuning, index=False)
    table = decide(judged.scored, params, seed)
    table.to_parquet(scores, index=False)
    count_reasons(table).to_csv(reasons, index=False)
    check_any_gan(table, params, asked)
    lost = emptied_gans(table, asked)
    drawn = random_control(table, seed)
    images.take(np.flatnonzero(table["reason"] == ACCEPTED)).save(accepted)
    images.take(drawn).save(control)
    wanted = _most_accepted(table) if params.labels == "ensemble" else {}
    distil(labelled, wanted, judged.ensemble, seed).save(distilled)
    report = _report(judged, table, drawn, params, seed) | {"tuned": summary(log)}
    rest = table[~table["gan_seed"].isin([one.gan_seed for one in lost])]
    short = shortfalls(rest, asked) if asked is not None else {}
    if asked is not None:
        report["short"] = {name: asdict(of) for name, of in short.items()}
    metrics.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print("accepted {accepted} of {pool}, {copies} copies thrown out".format(**report))
    for one in lost:
        print(f"{one}; this GAN is left out, and the arms rest on the others")
    for one in emptied(rest, asked):
        print(f"{one}; its real images stand in for them")
    if any(of.per_needed for of in short.values()):
        print(_told(short))


def _without_asked(pool: ImageSet) -> tuple[ImageSet, dict[int, int] | None]:
    """Return the pool without what the merge asks for, and that by label, None if not written."""
    if ASKED not in pool.manifest:
        return pool, None
    asked = dict(zip(pool.labels.tolist(), pool.manifest[ASKED].tolist(), strict=True))
    return ImageSet(pool.images, pool.manifest.drop(columns=ASKED)), asked


def _most_accepted(table: pd.DataFrame) -> dict[int, int]:
    """By label, how many images of it the GAN has that has most."""
    kept = table[table["reason"] == ACCEPTED]
    counts = kept.groupby(["label", "gan_seed"]).size().groupby("label").max()
    return {int(label): int(counts[label]) for label in counts.index}


def _told(short: Mapping[str, Shortfall]) -> str:
    """Say which class is farthest from what is asked for, and which command mends that."""
    name, worst = min(short.items(), key=lambda item: item[1].accepted / item[1].asked)
    needed = max(of.per_needed or 0 for of in short.values())
    mend = f"`ganlift run --set generate.per_needed={needed}`"
    return (
        f"fewer images were accepted than the merge asks for in {len(short)} classes, "
        f"{worst.accepted} of {worst.asked} of class {name!r}; {mend} would make enough"
    )


def _report(
    judged: _Judged, table: pd.DataFrame, control: Rows, params: QualityFilterParams, seed: int
) -> dict[str, Any]:
    """Return the content of filter.json, but for the tuning.

    Coverage, recall and precision are those of at most 5,000 pool images, a random choice that
    stays the same from rule to rule (``measured``), and of as many of the control as of these
    are accepted.
    """
    kept = table[table["reason"] == ACCEPTED]
    share = {name: _share(rows["authentic"]) for name, rows in (("pool", table), (ACCEPTED, kept))}
    reason, measured = table["reason"].to_numpy(object), some(len(table), seed=seed)
    alike = some(len(control), int((reason[measured] == ACCEPTED).sum()), seed)
    describe, held_out = judged.scored.describe, judged.held_out
    return {
        "pool": len(table),
        "accepted": len(kept),
        "acceptance_rate": round(len(kept) / len(table), 4),
        "copies": int(table["reason"].isin(COPIES).sum()),
        "labels": params.labels,
        **judged.figures,
        "authentic": {**share, "real": judged.figures["authentic"]},
        "measured": len(measured),
        "rules": funnel(reason, params, measured, describe(measured), held_out),
        "control": reached(describe(control[alike]), held_out),
        "per_class": class_summary(table),
    }


def _share(marks: npt.ArrayLike) -> float:
    return round(float(np.asarray(marks).mean()), 4)


def _shown(real: ImageSet, beside: Mapping[str, ImageSet], gan: Path) -> ImageSet:
    """Return all that a GAN may have copied; beside is what `train_gan` has a setting for."""
    settings = [load_config(folder)["train_gan"] for folder in checkpoints(gan).values()]
    used = [
        images
        for name, images in beside.items()
        if any(one.get(name, "none") != "none" for one in settings)
    ]
    return concatenate([real, *used])


def _judge(
    real: _Real,
    pool: ImageSet,
    asked: Mapping[int, int] | None,
    gan: Path,
    params: QualityFilterParams,
    seed: int,
    watch: Watch,
) -> _Judged:
    """Score the pool by classifiers, discriminators and distances to real images."""
    sure = certainty(
        real.train,
        real.val,
        pool,
        replace(_SCHEDULE, steps=params.classifier_steps),
        folds=params.folds,
        seed=seed * 1000 + 500,
        watch=lambda share, text: watch(share * (_CROSS_FITTED if params.tune else 1.0), text),
    )
    network = train_judge(real.train, params.classifier_steps, seed * 1000 + 700)
    of_val, of_shown = (network.features(part.images) for part in (real.val, real.shown))
    realism, authentic = Realism(of_shown[: len(real.train)]), Authenticity(of_shown)

    def describe(rows: Rows) -> Features:
        return network.features(pool.images[rows])

    near_real = [
        (realism(features), authentic(features))
        for features in map(describe, _blocks(np.arange(len(pool))))
    ]
    suspects = Suspects.of(real.train, real.val)
    columns, p_real, figures, reliability, attack = _by_discriminators(
        real, suspects, pool, gan, params, seed
    )
    attacks = {"nearest": by_nearest(suspects.images, pool), "discriminator": attack}
    classes = len(real.train.class_names)
    table = pool.manifest[["image_id", "label", "class_name", "gan_seed", "latent_seed"]].assign(
        **columns,
        **sure.pool,
        realism=np.concatenate([scores for scores, _ in near_real]),
        authentic=np.concatenate([marks for _, marks in near_real]),
        **find_copies(pool, real.val, real.shown, params.copy_quantile, classes),
    )
    of_real = [
        p_real,
        real_scores(sure.real, real.train.labels),
        real_scores({"realism": realism(of_val)}, real.val.labels),
    ]
    figures |= {
        "temperature": round(sure.ensemble.temperature, 6),
        "authentic": _share(authentic(of_val)),
        "membership": {name: suspects.told_by(of, seed) for name, of in attacks.items()},
    }
    scored = Scored(table, pd.concat(of_real, ignore_index=True), describe, asked)
    return _Judged(scored, sure.ensemble, of_val[some(len(of_val))], figures, reliability)


def _blocks(rows: Rows) -> Iterator[Rows]:
    """Rows some at a time, so that no copy of the whole pool is held."""
    yield from (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))


def _by_discriminators(
    real: _Real,
    suspects: Suspects,
    pool: ImageSet,
    gan: Path,
    params: QualityFilterParams,
    seed: int,
) -> tuple[dict[str, Scores], pd.DataFrame, dict[str, Any], pd.DataFrame, Scores]:
    """Let each GAN's discriminator judge its own images and real/val; calibrated, and how well.

    Returns the pool's columns, real/val's scores, figures (``constant_p_real``: seeds of the GANs
    whose p(real) ranks no image), reliability curves, and what all together say of suspects.
    """
    fit = CALIBRATIONS[params.calibration]
    logit, p_real = np.full((2, len(pool)), np.nan)
    of_real, brier, curves, flat, attack = [], {}, [], [], []
    for gan_seed, folder in checkpoints(gan).items():
        check_checkpoint(folder, real.train)
        discriminator = load_discriminator(folder)
        fresh = make_fresh(folder, gan_seed, real.val.labels, seed)
        genuine, faked = (discriminator_logits(discriminator, part) for part in (real.val, fresh))
        unseen, head = out_of_fold(fit, genuine, faked, seed), fit(genuine, faked)
        mine = np.flatnonzero(pool.manifest["gan_seed"] == gan_seed)
        for rows in _blocks(mine):
            logit[rows] = discriminator_logits(discriminator, pool.take(rows))
        p_real[mine] = head(logit[mine])
        seen = discriminator_logits(discriminator, suspects.images)
        own = suspects.images.labels, logit[mine], pool.labels[mine]
        attack.append(standardised(seen, *own))
        of_real.append(real_scores({"p_real": head(genuine)}, real.val.labels, gan_seed))
        brier[str(gan_seed)] = round(unseen.brier, 6)
        if tells_nothing(head, genuine, faked):
            flat.append(gan_seed)
            print(
                f"GAN {gan_seed}: its discriminator finds its images no less real than real/val; "
                "p(real) says the same of all of them, so that no image is chosen by it"
            )
        curve = unseen.reliability()
        curve.insert(0, "gan_seed", gan_seed)
        curves.append(curve)
    mean = round(float(np.mean(list(brier.values()))), 6)
    figures = {
        "calibration": params.calibration,
        "brier": mean,
        "brier_per_gan": brier,
        "constant_p_real": flat,
    }
    columns = {"logit": logit, "p_real": p_real}
    together = np.mean(attack, axis=0)
    return columns, pd.concat(of_real), figures, pd.concat(curves), together


def _tune(
    real: _Real,
    pool: ImageSet,
    scored: Scored,
    params: QualityFilterParams,
    seed: int,
    watch: Watch,
) -> tuple[QualityFilterParams, pd.DataFrame]:
    """Search on real/val; each classifier sees the images of one GAN, the GANs in turn."""
    gan_of = scored.table["gan_seed"].to_numpy()
    gans, classes = np.unique(gan_of), len(real.train.class_names)

    trained = Examples.of(real.train)

    def trial(rows: Rows, number: int) -> Trial:
        mine = rows[gan_of[rows] == gans[number % len(gans)]]
        return Trial(trained.joined(Examples.of(pool, mine)), seed * 1000 + 800 + number)

    def judge(accepted: Sequence[Rows]) -> list[float]:
        count = len(accepted) * _TRIALS
        scores = val_balanced_accuracy(
            (trial(rows, number) for rows in accepted for number in range(_TRIALS)),
            real.val,
            replace(_SCHEDULE, steps=params.classifier_steps),
            classes=classes,
            watch=lambda done: watch(
                _CROSS_FITTED + (1 - _CROSS_FITTED) * done / count, f"trial {done}/{count}"
            ),
        )
        means: list[float] = np.reshape(scores, (-1, _TRIALS)).mean(axis=1).tolist()
        return means

    return tune(scored, candidates(params, len(real.train) / classes), judge, seed)


if __name__ == "__main__":
    stage_main(run)
