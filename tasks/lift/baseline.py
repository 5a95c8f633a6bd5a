"""Which arm the treatment has to beat, settled without a look at the test images."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tasks.contracts.arms import NON_SYNTHETIC
from tasks.contracts.errors import UserError
from tasks.contracts.params.report import STRONGEST, ReportParams
from tasks.lift.metrics import Metric


@dataclass(frozen=True)
class Baseline:
    """The arm, and what every arm without synthetic images reached on real/val.

    Attributes:
        arm: the baseline.
        declared: it stands in params.yaml, and was not chosen on real/val.
        strongest: of the arms without synthetic images, on real/val; None where none ran.
        val: by arm, the mean of the primary metric over runs.
    """

    arm: str
    declared: bool
    strongest: str | None
    val: dict[str, float]


def choose_baseline(runs: pd.DataFrame, metric: Metric, params: ReportParams) -> Baseline:
    """Return the declared baseline, or the strongest arm without synthetic images.

    Strongest on real/val by the primary metric, the earlier in the order of the arms on a tie.
    Fractions of the real images and the treatment itself are no candidates.

    Args:
        runs: a row per arm and seed, of which the metric on real/val is read alone.
        metric: the primary one.
        params: baseline and treatment.

    Raises:
        UserError: the runs do not tell the metric on real/val, or no candidate ran.
    """
    column = f"val_{metric.column}"
    if column not in runs:
        raise UserError(
            "runs", f"lack {column}", "Run `ganlift run --from retrain`, which makes them anew"
        )
    means = runs.groupby("arm")[column].mean()
    val = {arm: float(means[arm]) for arm in NON_SYNTHETIC if arm in means.index}
    candidates = [arm for arm in val if arm != params.treatment]
    # max keeps the first of equals
    best = max(candidates, key=lambda arm: metric.factor * val[arm], default=None)
    if params.baseline != STRONGEST:
        return Baseline(params.baseline, True, best, val)
    if best is None:
        raise UserError(
            "report.baseline",
            "no arm without synthetic images ran, so none can be the strongest",
            "Run `ganlift run --from retrain`",
        )
    return Baseline(best, False, best, val)
