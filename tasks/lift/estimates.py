"""Everything the report says in numbers, from predictions to intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.contracts.errors import UserError
from tasks.contracts.params import ReportParams
from tasks.lift.intervals import Interval, Replicated, interval
from tasks.lift.metrics import METRICS, Counter, Counts, Floats, recall
from tasks.lift.predictions import Predictions
from tasks.lift.resampling import RunDraws, draw_runs, image_units, image_weights

CONTROL = "real+classical+control"
FILTERED = "real+classical+filtered"
_PERCENT = 100.0


@dataclass(frozen=True)
class ClassLift:
    """One class: mean recall (0 to 1) in both arms, and the lift in percentage points."""

    baseline_recall: float
    treatment_recall: float
    lift: Interval


@dataclass(frozen=True)
class Estimates:
    """All estimates. Lifts are in percentage points, metrics in 0 to 1.

    Attributes:
        arms: by arm and metric, the mean over runs.
        values: by arm and metric, one value a run ``[S]``.
        lift: treatment - baseline in the primary metric: what the verdict rests on.
        filter_lift: filtered - control, the filter's own part, if both arms ran. Secondary.
        arm_lifts: every other arm - baseline. Exploratory: no claim rests on them.
        classes: K classes in the order of their labels.
    """

    arms: dict[str, dict[str, Interval]]
    values: dict[str, dict[str, Floats]]
    lift: Interval
    filter_lift: Interval | None
    arm_lifts: dict[str, Interval]
    classes: tuple[ClassLift, ...]


def estimate(predictions: Predictions, classes: int, params: ReportParams, seed: int) -> Estimates:
    """Estimate metrics, lifts and their intervals.

    Runs are paired by classifier seed, images by being the same, and all arms meet the same
    resamples, so that whatever two arms share cancels.

    Args:
        predictions: of every arm.
        classes: K.
        params: primary metric, arms to compare, level, resamples.
        seed: of all resampling.

    Raises:
        UserError: the baseline or the treatment has no runs.
    """
    for role, arm in (("baseline", params.baseline), ("treatment", params.treatment)):
        if arm not in predictions.arms:
            raise UserError(
                f"report.{role}",
                f"the arm {arm!r} has no runs",
                f"Choose one of: {', '.join(predictions.arms)}",
            )
    metrics, recalls = _replicate(predictions, classes, params, seed)
    images = np.bincount(predictions.labels, minlength=classes)
    strata, _ = image_units(predictions.labels, predictions.groups)
    image_df = len(strata) - len(np.unique(strata))

    def between(quantity: Replicated, *arms: str, df: int = image_df) -> Interval:
        draws = _draw_runs(predictions, arms, params.resamples, seed)
        return interval(quantity, draws, df, params.level)

    def lift(arm: str, over: str) -> Interval:
        primary = params.primary_metric
        difference = metrics[arm][primary] - metrics[over][primary]
        return between(difference.scaled(_PERCENT), arm, over)

    def class_lift(label: int) -> ClassLift:
        treatment, baseline = (
            Replicated(observed[:, label], resampled[:, :, label])
            for observed, resampled in (recalls[params.treatment], recalls[params.baseline])
        )
        return ClassLift(
            float(baseline.observed.mean()),
            float(treatment.observed.mean()),
            between(
                (treatment - baseline).scaled(_PERCENT),
                params.treatment,
                params.baseline,
                df=int(images[label]) - 1,
            ),
        )

    return Estimates(
        arms={
            arm: {name: between(quantity, arm) for name, quantity in by_metric.items()}
            for arm, by_metric in metrics.items()
        },
        values={
            arm: {name: quantity.observed for name, quantity in by_metric.items()}
            for arm, by_metric in metrics.items()
        },
        lift=lift(params.treatment, params.baseline),
        filter_lift=lift(FILTERED, CONTROL) if {FILTERED, CONTROL} <= set(metrics) else None,
        arm_lifts={arm: lift(arm, params.baseline) for arm in metrics if arm != params.baseline},
        classes=tuple(class_lift(label) for label in range(classes)),
    )


def _draw_runs(
    predictions: Predictions, arms: tuple[str, ...], resamples: int, seed: int
) -> RunDraws:
    """Draw the runs of a comparison: by GAN as soon as one of its arms rests on GANs."""
    runs = [predictions.arms[arm] for arm in arms]
    gans = next((arm.gan_seeds for arm in runs if arm.gan_seeds is not None), None)
    return draw_runs(gans, len(runs[0].seeds), resamples, seed)


_Metrics = dict[str, dict[str, Replicated]]
_Recalls = dict[str, tuple[Floats, Floats]]


def _replicate(
    predictions: Predictions, classes: int, params: ReportParams, seed: int
) -> tuple[_Metrics, _Recalls]:
    """Compute every metric of every run, observed and on B resamples of the test images.

    Returns metrics by arm, and for the two arms of the verdict the recalls
    (observed ``[S, K]``, resampled ``[B, S, K]``).
    """
    labels = predictions.labels
    judged = (params.baseline, params.treatment)
    counters = {
        arm: Counter(labels, runs.predicted, classes) for arm, runs in predictions.arms.items()
    }
    even = np.ones((1, len(labels)))
    observed = {arm: counter(even) for arm, counter in counters.items()}
    blocks: dict[str, dict[str, list[Floats]]] = {
        arm: {name: [] for name in METRICS} for arm in counters
    }
    recall_blocks: dict[str, list[Floats]] = {arm: [] for arm in judged}
    for weights in image_weights(labels, predictions.groups, params.resamples, seed):
        for arm, counter in counters.items():
            counts: Counts = counter(weights)
            for name, metric in METRICS.items():
                blocks[arm][name].append(metric(counts))
            if arm in judged:
                recall_blocks[arm].append(recall(counts))
    metrics = {
        arm: {
            name: Replicated(METRICS[name](observed[arm])[0], np.concatenate(parts))
            for name, parts in by_metric.items()
        }
        for arm, by_metric in blocks.items()
    }
    recalls = {
        arm: (recall(observed[arm])[0], np.concatenate(parts))
        for arm, parts in recall_blocks.items()
    }
    return metrics, recalls
