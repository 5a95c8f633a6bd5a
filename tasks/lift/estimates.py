"""Everything the report says in numbers, from predictions to intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tasks.contracts.arms import (
    CLASSICAL,
    DUPLICATED,
    FILTERED,
    NON_SYNTHETIC,
    UNFILTERED,
    fraction_of,
)
from tasks.contracts.errors import UserError
from tasks.contracts.params.report import ReportParams
from tasks.lift.intervals import Interval, Noise, Replicated, interval, noise
from tasks.lift.metrics import METRICS, Floats, Metric
from tasks.lift.power import check_units
from tasks.lift.predictions import Predictions
from tasks.lift.replication import Replication, replicate
from tasks.lift.resampling import RunDraws, draw_runs, image_units
from tasks.lift.significance import Comparison, McNemar, holm, mcnemar_pairs
from tasks.lift.worth import Worth, worth


@dataclass(frozen=True)
class ClassLift:
    """One class: mean recall (0 to 1) in both arms, and the lift in percentage points."""

    baseline_recall: float
    treatment_recall: float
    lift: Interval


@dataclass(frozen=True)
class Estimates:
    """All estimates. Lifts are in the unit of the primary metric, metrics as they are.

    Attributes:
        metric: the primary one.
        baseline: arm that lifts are over.
        arms: by arm and metric, the mean over runs; fractions of the real images left out.
        values: by arm and metric, one value a run ``[S]``.
        lift: treatment - baseline in the primary metric: what the verdict rests on.
        noise: what makes the lift uncertain.
        filter_lift: filtered - unfiltered, the filter's own part, if both arms ran.
        arm_lifts: every other arm - baseline. Exploratory: no claim rests on them.
        comparisons: the secondary ones, their p-values corrected for how many they are.
        mcnemar: treatment against baseline, one test a run.
        classes: K classes in the order of their labels.
        worth: the lift in real images, if `CLASSICAL` ran on several numbers of them.
        more_real: the most real images `CLASSICAL` ran on and its lift with them over the
            baseline, if these are more than the other arms had.
    """

    metric: Metric
    baseline: str
    arms: dict[str, dict[str, Interval]]
    values: dict[str, dict[str, Floats]]
    lift: Interval
    noise: Noise
    filter_lift: Interval | None
    arm_lifts: dict[str, Interval]
    comparisons: tuple[Comparison, ...]
    mcnemar: tuple[McNemar, ...]
    classes: tuple[ClassLift, ...]
    worth: Worth | None
    more_real: tuple[int, Interval] | None


def estimate(
    predictions: Predictions,
    metric: Metric,
    baseline: str,
    real_images: Mapping[str, int],
    params: ReportParams,
    seed: int,
) -> Estimates:
    """Estimate metrics, lifts and their intervals.

    Runs are paired by classifier seed, images by being the same, and all arms meet the same
    resamples, so that whatever two arms share cancels.

    Args:
        predictions: of every arm.
        metric: the primary one.
        baseline: arm that the treatment is compared with.
        real_images: by arm, how many real images it trained on.
        params: treatment, level, resamples.
        seed: of all resampling.

    Raises:
        UserError: the baseline or the treatment has no runs, or there are fewer independent
            test images than the level asks for.
    """
    for role, arm in (("baseline", baseline), ("treatment", params.treatment)):
        if arm not in predictions.arms:
            raise UserError(
                f"report.{role}",
                f"the arm {arm!r} has no runs",
                f"Choose one of: {', '.join(predictions.arms)}",
            )
    check_units(predictions, metric, params.level)
    metrics = {**METRICS, metric.key: metric}
    verdict = (params.treatment, baseline)
    replication = replicate(predictions, metrics, verdict, params.resamples, seed)
    judge = _Judge(predictions, replication, metric, params, seed)
    arms = {arm: of for arm, of in replication.metrics.items() if fraction_of(arm) is None}
    others = [arm for arm in arms if arm != baseline]
    both = {FILTERED, UNFILTERED} <= set(arms)
    return Estimates(
        metric=metric,
        baseline=baseline,
        arms={arm: {key: judge.value(arm, metrics[key]) for key in of} for arm, of in arms.items()},
        values={
            arm: {key: quantity.observed for key, quantity in of.items()}
            for arm, of in replication.metrics.items()
        },
        lift=judge.lift(*verdict),
        noise=judge.noise(judge.difference(*verdict), *verdict),
        filter_lift=judge.lift(FILTERED, UNFILTERED) if both else None,
        arm_lifts={arm: judge.lift(arm, baseline) for arm in others},
        comparisons=holm(
            [(arm, over, judge.lift(arm, over)) for arm, over in _secondary(arms, *verdict)]
        ),
        mcnemar=mcnemar_pairs(predictions, *verdict),
        classes=judge.classes(*verdict),
        worth=judge.worth(real_images, *verdict),
        more_real=judge.more_real(real_images, baseline),
    )


def _secondary(arms: Mapping[str, object], treatment: str, baseline: str) -> list[tuple[str, str]]:
    """Return the pairs of arms whose difference is told with a corrected p-value."""
    pairs = [(FILTERED, UNFILTERED), (FILTERED, DUPLICATED)]
    pairs += [(treatment, arm) for arm in NON_SYNTHETIC if arm != treatment]
    return [
        (arm, over)
        for arm, over in dict.fromkeys(pairs)
        if arm in arms and over in arms and (arm, over) != (treatment, baseline)
    ]


class _Judge:
    """Turns replicated metrics into intervals, each comparison with the draws that fit it."""

    def __init__(
        self,
        predictions: Predictions,
        replication: Replication,
        metric: Metric,
        params: ReportParams,
        seed: int,
    ) -> None:
        self._predictions, self._replication = predictions, replication
        self._metric, self._params, self._seed = metric, params, seed
        strata, _ = image_units(predictions.labels, predictions.groups)
        sizes = np.bincount(predictions.labels)
        self._class_df = [int(size) - 1 for size in sizes]
        whole = len(strata) - len(np.unique(strata))
        self._image_df = whole if metric.label is None else self._class_df[metric.label]

    def difference(self, arm: str, over: str) -> Replicated:
        """Return the lift of every run."""
        metrics, key = self._replication.metrics, self._metric.key
        return (metrics[arm][key] - metrics[over][key]).scaled(self._metric.factor)

    def draws(self, *arms: str) -> RunDraws:
        """Draw the runs of a comparison: by GAN as soon as one of its arms rests on GANs."""
        runs = [self._predictions.arms[arm] for arm in arms]
        gans = next((of.gan_seeds for of in runs if of.gan_seeds is not None), None)
        return draw_runs(gans, len(runs[0].seeds), self._params.resamples, self._seed)

    def noise(self, quantity: Replicated, *arms: str) -> Noise:
        """Return what makes a quantity of the given arms uncertain."""
        return noise(quantity, self.draws(*arms), self._image_df)

    def mean(self, quantity: Replicated, *arms: str, df: int | None = None) -> Interval:
        """Return the mean over runs with its interval."""
        spread = noise(quantity, self.draws(*arms), self._image_df if df is None else df)
        return interval(float(quantity.observed.mean()), spread, self._params.level)

    def value(self, arm: str, metric: Metric) -> Interval:
        """Return a metric of one arm."""
        quantity = self._replication.metrics[arm][metric.key]
        return self.mean(quantity, arm).within(0.0, metric.most)

    def lift(self, arm: str, over: str) -> Interval:
        """Return the lift of an arm over another."""
        return self.mean(self.difference(arm, over), arm, over)

    def classes(self, arm: str, over: str) -> tuple[ClassLift, ...]:
        """Return the lift in recall of every class."""
        recalls = self._replication.recalls
        return tuple(
            ClassLift(
                float(recalls[over][:, label].mean()),
                float(recalls[arm][:, label].mean()),
                self.mean(
                    Replicated(
                        recalls[arm][:, label] - recalls[over][:, label],
                        self._replication.recall_lifts[:, :, label],
                    ).scaled(100.0),
                    arm,
                    over,
                    df=df,
                ),
            )
            for label, df in enumerate(self._class_df)
        )

    def worth(self, real_images: Mapping[str, int], arm: str, over: str) -> Worth | None:
        """Return what the treatment is worth in real images."""
        metrics, key = self._replication.metrics, self._metric.key
        curve = [a for a in metrics if a == CLASSICAL or fraction_of(a) is not None]
        if len(curve) < 2 or CLASSICAL not in curve:
            return None
        curve.sort(key=lambda name: real_images[name])
        draws = self.draws(arm, over)
        return worth(
            {a: (real_images[a], self.value(a, self._metric)) for a in curve},
            np.stack([metrics[a][key].replicates(draws) for a in curve], axis=1),
            metrics[arm][key].replicates(draws),
            float(metrics[arm][key].observed.mean()),
            sign=float(np.sign(self._metric.factor)),
            have=real_images[over],
            df=self.lift(arm, over).df,
            level=self._params.level,
        )

    def more_real(self, real_images: Mapping[str, int], over: str) -> tuple[int, Interval] | None:
        """Return the most real images that `CLASSICAL` ran on, and its lift with them."""
        most = max(self._replication.metrics, key=lambda arm: real_images[arm])
        if real_images[most] <= real_images[over]:
            return None
        return real_images[most], self.lift(most, over)
