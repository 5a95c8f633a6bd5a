"""From predictions to intervals: each comparison with the draws that fit it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tasks.contracts.arms import (
    FILTERED,
    NON_SYNTHETIC,
    REAL,
    REPEATED,
    UNFILTERED,
    fraction_of,
)
from tasks.contracts.errors import UserError
from tasks.contracts.params.report import ReportParams
from tasks.lift.intervals import Averaged, Interval, Noise, interval, noise
from tasks.lift.metrics import METRICS, Floats, Metric
from tasks.lift.parts import ArmContrast, ContrastLift, Estimate, MoreReal, Worth
from tasks.lift.power import check_units
from tasks.lift.predictions import Predictions
from tasks.lift.replication import replicate
from tasks.lift.resampling import RunDraws, draw_runs, image_units
from tasks.lift.significance import holm
from tasks.lift.worth import worth


class Estimates:
    """Metrics, lifts and their intervals.

    Runs are paired by classifier seed, images by being the same, and all arms meet the same
    resamples, so that whatever two arms share cancels.

    Args:
        predictions: of every arm.
        metric: the primary one; lifts are in its unit.
        baseline: arm that the treatment is compared with.
        real_images: by arm, how many real images it trained on.
        params: treatment, level, resamples.
        seed: of all resampling.

    Raises:
        UserError: the baseline or the treatment has no runs, or there are fewer independent
            test images than the level asks for.
    """

    def __init__(
        self,
        predictions: Predictions,
        metric: Metric,
        baseline: str,
        real_images: Mapping[str, int],
        params: ReportParams,
        seed: int,
    ) -> None:
        for role, arm in (("baseline", baseline), ("treatment", params.treatment)):
            if arm not in predictions.arms:
                raise UserError(
                    f"report.{role}",
                    f"the arm {arm!r} has no runs",
                    f"Choose one of: {', '.join(predictions.arms)}",
                )
        check_units(predictions, metric, params.level)
        self._predictions, self._metric, self._params = predictions, metric, params
        self._real_images, self._seed = real_images, seed
        self._verdict = (params.treatment, baseline)
        self._metrics = {**METRICS, metric.key: metric}
        self._replication = replicate(
            predictions, self._metrics, self._verdict, self._draws(*self._verdict), seed
        )
        strata, _ = image_units(predictions.labels, predictions.groups)
        self._class_df = [int(size) - 1 for size in np.bincount(predictions.labels)]
        whole = len(strata) - len(np.unique(strata))
        self._image_df = whole if metric.label is None else self._class_df[metric.label]

    @property
    def arms(self) -> list[str]:
        """Every arm but the fractions of the real images."""
        return [arm for arm in self._replication.metrics if fraction_of(arm) is None]

    @property
    def values(self) -> dict[str, dict[str, Floats]]:
        """By arm and metric, one value a run ``[S]``."""
        return {
            arm: {key: quantity.observed for key, quantity in of.items()}
            for arm, of in self._replication.metrics.items()
        }

    @property
    def noise(self) -> Noise:
        """What makes the lift of the verdict uncertain."""
        return noise(self._difference(*self._verdict), self._image_df)

    def metric(self, arm: str, key: str) -> Interval:
        """Return a metric of one arm."""
        found = self._mean(self._over(arm, key), self._image_df)
        return found.within(0.0, self._metrics[key].most)

    def lift(self, arm: str, over: str) -> Interval:
        """Return the lift of an arm over another."""
        return self._mean(self._difference(arm, over), self._image_df)

    def class_lifts(self) -> list[tuple[float, float, Interval]]:
        """Return baseline's and treatment's mean recall of each class, and the lift in it."""
        found, (treatment, baseline) = self._replication, self._verdict
        return [
            (
                float(found.recalls[baseline][label]),
                float(found.recalls[treatment][label]),
                self._mean(lift, df),
            )
            for label, (lift, df) in enumerate(zip(found.class_lifts, self._class_df, strict=True))
        ]

    def classes_lift(self, labels: Sequence[int]) -> Interval:
        """Return the lift in the mean recall of some classes, in percentage points."""
        lifts = [self._replication.class_lifts[label] for label in labels]
        mean = Averaged(
            np.mean([lift.observed for lift in lifts], axis=0),
            np.mean([lift.even for lift in lifts], axis=0),
            np.mean([lift.drawn for lift in lifts], axis=0),
            lifts[0].runs,
        )
        return self._mean(mean, sum(self._class_df[label] for label in labels))

    def contrasts(self) -> tuple[ArmContrast, ...]:
        """Return the secondary comparisons, their p-values corrected for how many they are."""
        treatment = self._params.treatment
        wanted = [(FILTERED, UNFILTERED), (FILTERED, REPEATED)]
        wanted += [(treatment, arm) for arm in NON_SYNTHETIC if arm != treatment]
        pairs = [
            pair
            for pair in dict.fromkeys(wanted)
            if set(pair) <= set(self.arms) and pair != self._verdict
        ]
        lifts = [self.lift(*pair) for pair in pairs]
        return tuple(
            ArmContrast(
                arm=arm,
                over=over,
                lift_pp=ContrastLift.of(lift, p_value=lift.p_value),
                p_holm=p_holm,
            )
            for (arm, over), lift, p_holm in zip(
                pairs, lifts, holm([lift.p_value for lift in lifts]), strict=True
            )
        )

    def worth(self) -> Worth | None:
        """Return what the lift is worth in real images, if `REAL` ran on several numbers."""
        metrics, key = self._replication.metrics, self._metric.key
        curve = [arm for arm in metrics if arm == REAL or fraction_of(arm) is not None]
        if len(curve) < 2 or REAL not in curve:
            return None
        curve.sort(key=lambda arm: self._real_images[arm])
        draws = self._draws(*self._verdict)
        return worth(
            {arm: (self._real_images[arm], self.metric(arm, key)) for arm in curve},
            np.stack([metrics[arm][key].over(draws).replicates() for arm in curve], axis=1),
            self.lift(*self._verdict),
            self._difference(*self._verdict).replicates(),
            factor=self._metric.factor,
            have=self._real_images[REAL],
            level=self._params.level,
        )

    def more_real(self) -> MoreReal | None:
        """Return the lift with the most real images, if these are more than the baseline's."""
        _, baseline = self._verdict
        most = max(self._replication.metrics, key=lambda arm: self._real_images[arm])
        images = self._real_images[most]
        if images <= self._real_images[baseline]:
            return None
        return MoreReal(real_images=images, lift_pp=Estimate.of(self.lift(most, baseline)))

    def _draws(self, *arms: str) -> RunDraws:
        """Draw the runs of a comparison: by GAN as soon as one of its arms rests on GANs."""
        runs = [self._predictions.arms[arm] for arm in arms]
        gans = next((of.gan_seeds for of in runs if of.gan_seeds is not None), None)
        return draw_runs(gans, len(runs[0].seeds), self._params.resamples, self._seed)

    def _over(self, arm: str, key: str) -> Averaged:
        return self._replication.metrics[arm][key].over(self._draws(arm))

    def _difference(self, arm: str, over: str) -> Averaged:
        metrics, key = self._replication.metrics, self._metric.key
        lifts = (metrics[arm][key] - metrics[over][key]).scaled(self._metric.factor)
        return lifts.over(self._draws(arm, over))

    def _mean(self, quantity: Averaged, image_df: int) -> Interval:
        found = noise(quantity, image_df)
        return interval(float(quantity.observed.mean()), found, self._params.level)
