"""From what retrain wrote to the `LiftResult`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.contracts.arms import FILTERED, UNFILTERED
from tasks.contracts.params.report import ReportParams
from tasks.data.tallies import is_rare
from tasks.lift import parts
from tasks.lift.estimates import Estimates
from tasks.lift.fairness import check_fair, check_same
from tasks.lift.floors import floors
from tasks.lift.metrics import METRICS, Metric, metric_named
from tasks.lift.power import POWER, minimum_detectable, settle
from tasks.lift.predictions import read_predictions
from tasks.lift.result import LiftResult
from tasks.lift.rule import choose_baseline, judge
from tasks.lift.significance import mcnemar_pairs

_RARE_SHARE = 0.5  # of the average class


@dataclass(frozen=True)
class TrainedOn:
    """What the treatment was trained on.

    Attributes:
        real: real images of each class ``[K]``.
        synthetic: synthetic images by GAN seed.
        control: images of the control set, over all GANs.
        digest: of every image.
        gans: what has to be known of each GAN, by its name.
    """

    real: npt.NDArray[np.int64]
    synthetic: Mapping[str, int]
    control: int
    digest: str
    gans: Mapping[str, parts.GanFlags]


def lift_result(
    runs: pd.DataFrame,
    predictions: pd.DataFrame,
    class_names: Sequence[str],
    *,
    retrained: Mapping[str, Any],
    merged: pd.DataFrame,
    control: int,
    gans: Mapping[str, Any],
    params: ReportParams,
    seed: int,
) -> LiftResult:
    """Check that the runs are fair, choose the baseline, estimate the lift, take the verdict.

    Args:
        runs: a row per arm and seed.
        predictions: a row per arm, seed and test image.
        class_names: K names in the order of their labels.
        retrained: content of ``retrain.json``.
        merged: manifest of the merged training set.
        control: images of the control set, over all GANs.
        gans: content of ``gan.json``, of which the flags are kept.
        params: the rule.
        seed: of all resampling.

    Returns:
        The result, still without the sentences of its answer.

    Raises:
        UserError: runs that are not fair, do not belong together or cannot be paired, a metric
            or an arm that there is not, or too few test images.
    """
    real = merged.loc[merged["origin"] == "real", "label"]
    seeds = merged["gan_seed"].dropna().astype(int)
    trained_on = TrainedOn(
        real=np.bincount(real, minlength=len(class_names)),
        synthetic={str(gan): int((seeds == gan).sum()) for gan in seeds.unique()},
        control=control,
        digest=_digest(merged),
        gans={gan: _flags(of, left_out=int(gan) not in set(seeds)) for gan, of in gans.items()},
    )
    return judged(runs, predictions, class_names, retrained, trained_on, params, seed)


def judged(
    runs: pd.DataFrame,
    predictions: pd.DataFrame,
    class_names: Sequence[str],
    retrained: Mapping[str, Any],
    trained_on: TrainedOn,
    params: ReportParams,
    seed: int,
) -> LiftResult:
    """Do what `lift_result` does, with what was trained on told in numbers."""
    check_fair(runs)
    metric = metric_named(params.primary_metric, class_names)
    baseline, choice = choose_baseline(runs, metric, params)
    said = read_predictions(predictions, class_names)
    real_images = {arm: int(of["real"]) for arm, of in retrained["arms"].items()}
    found = Estimates(said, metric, baseline, real_images, params, seed)
    check_same(found.values, runs)

    treated = said.arms[params.treatment]
    gan_seeds = sorted(set(treated.gan_seeds or ()))
    train = trained_on.real
    test = np.bincount(said.labels, minlength=len(class_names))
    lifted = found.lift(params.treatment, baseline)
    lift = parts.Lift.of(
        lifted, level=params.level, p_value=lifted.p_value, df=lifted.df, se=lifted.se
    )
    verdict = judge(lift, params.smallest_lift_pp)
    # settled, or too small to matter whatever else were found
    closed = verdict != "inconclusive" or abs(lift.mean) < params.smallest_lift_pp
    both = {FILTERED, UNFILTERED} <= set(found.arms)
    return LiftResult(
        verdict=verdict,
        primary_metric=metric.key,
        metric_name=metric.title,
        unit=metric.unit,
        baseline=baseline,
        baseline_choice=choice,
        treatment=params.treatment,
        lift_pp=lift,
        noise_pp=parts.NoiseSpread(runs=found.noise.runs**0.5, images=found.noise.images**0.5),
        gan_luck=len(gan_seeds) != 1,
        rule=parts.Rule(smallest_lift_pp=params.smallest_lift_pp, resamples=params.resamples),
        power=POWER,
        mde_pp=minimum_detectable(lift.se, lift.df, params.level),
        settle=None
        if closed
        else settle(
            lift.mean,
            found.noise,
            gans=len(gan_seeds),
            seeds=len(treated.seeds),
            test_images=len(said.labels),
            level=params.level,
        ),
        filter_lift_pp=parts.Estimate.of(found.lift(FILTERED, UNFILTERED)) if both else None,
        arm_lift_pp={
            arm: parts.Estimate.of(found.lift(arm, baseline))
            for arm in found.arms
            if arm != baseline
        },
        comparisons=found.contrasts(),
        mcnemar=mcnemar_pairs(said, params.treatment, baseline),
        floors=floors({**METRICS, metric.key: metric}, train, test),
        majority_class=class_names[int(np.argmax(train))],
        rarest=_rarest(found, class_names, train),
        arms={arm: _arm(arm, found, runs, metric) for arm in found.arms},
        worth=found.worth(),
        more_real=found.more_real(),
        per_class=_per_class(found, class_names, train, test),
        gans=dict(trained_on.gans),
        counts=parts.ImageCounts(
            classes=len(class_names),
            train=int(train.sum()),
            synthetic={str(gan): trained_on.synthetic.get(str(gan), 0) for gan in gan_seeds},
            control=trained_on.control,
            test=len(said.labels),
            seeds=len(treated.seeds),
            gan_seeds=len(gan_seeds),
        ),
        seeds=parts.Seeds(classifier=treated.seeds, gan=tuple(gan_seeds)),
        classifier=_classifier(retrained),
        digests=parts.Digests(merged=trained_on.digest, test=retrained["test"]["digest"]),
    )


def _arm(arm: str, found: Estimates, runs: pd.DataFrame, metric: Metric) -> parts.ArmResult:
    rows = runs[runs["arm"] == arm].sort_values("seed")
    measured = {}
    for key, values in found.values[arm].items():
        interval = found.metric(arm, key)
        ends = {"ci_low": interval.low, "ci_high": interval.high}
        measured[key] = parts.Measured(**_spread(values).model_dump(), **ends)
    val = parts.Mean(mean=rows[f"val_{metric.column}"].mean())
    shown = {name: round(float(rows[f"{name}_seen"].mean())) for name in ("real", "added")}
    return parts.ArmResult(
        **measured, ece=_spread(rows["ece"]), val=val, shown=parts.ImagesShown(**shown)
    )


def _spread(values: Any) -> parts.Spread:
    return parts.Spread(
        mean=np.mean(values), std=np.std(values, ddof=1), values=tuple(np.asarray(values).tolist())
    )


def _per_class(
    found: Estimates,
    class_names: Sequence[str],
    train: npt.NDArray[np.int64],
    test: npt.NDArray[np.int64],
) -> dict[str, parts.ClassResult]:
    """Return every class; rare are those with fewer real images than half the average class."""
    rare = train < _RARE_SHARE * train.mean()
    return {
        name: parts.ClassResult(
            baseline_recall=before,
            treatment_recall=after,
            lift_pp=parts.Estimate.of(lift),
            train_images=int(train[label]),
            test_images=int(test[label]),
            rare=bool(rare[label]),
        )
        for label, (name, (before, after, lift)) in enumerate(
            zip(class_names, found.class_lifts(), strict=True)
        )
    }


def _rarest(
    found: Estimates, class_names: Sequence[str], train: npt.NDArray[np.int64]
) -> parts.RarestClasses | None:
    """Return the lift of the rarest third of the classes, or of those in it that are rare."""
    third = np.argsort(train, kind="stable")[: -(-len(train) // 3)]
    labels = third[is_rare(train)[third]].tolist()
    if not labels:
        return None
    return parts.RarestClasses(
        classes=tuple(class_names[label] for label in labels),
        lift_pp=parts.Estimate.of(found.classes_lift(labels)),
    )


def _flags(gan: Mapping[str, Any], *, left_out: bool) -> parts.GanFlags:
    asked = ("conditioning", "conditioning_real", "coverage")
    measured = {key: gan["evaluation"].get(key) for key in asked}
    own = parts.GanFlags.model_fields.keys() - {*measured, "left_out"}
    return parts.GanFlags(**{key: gan[key] for key in own}, **measured, left_out=left_out)


def _classifier(retrained: Mapping[str, Any]) -> parts.Classifier:
    same = set(parts.Classifier.model_fields) - {"name", "kept", "pretraining"}
    kept = retrained["kept"]
    return parts.Classifier(
        name=retrained["classifier"],
        kept=kept
        and parts.KeptClassifier(**{key: kept[key] for key in parts.KeptClassifier.model_fields}),
        pretraining=retrained.get("pretraining"),
        **{key: retrained[key] for key in same},
    )


def _digest(merged: pd.DataFrame) -> str:
    """Return the sha256 over id, label and origin of every merged image, in their order."""
    digest = hashlib.sha256()
    rows = zip(merged["image_id"], merged["label"], merged["origin"], strict=True)
    for number, (image_id, label, origin) in enumerate(rows):
        digest.update(f"{chr(10) if number else ''}{image_id} {label} {origin}".encode())
    return digest.hexdigest()
