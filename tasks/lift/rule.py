"""The rule that ``params.yaml`` declares before the result is seen.

Which arm the treatment has to beat is settled without a look at the test images. The verdict is
"helps" if the whole interval is above 0 and the mean reaches the smallest lift that matters,
"hurts" if the whole interval is below 0 and the mean reaches as far down, else "inconclusive".
"""

from __future__ import annotations

import pandas as pd

from tasks.contracts.arms import NON_SYNTHETIC
from tasks.contracts.errors import UserError
from tasks.contracts.params.report import STRONGEST, ReportParams
from tasks.lift.metrics import Metric
from tasks.lift.parts import BaselineChoice, Estimate, Verdict


def judge(lift: Estimate, smallest_lift_pp: float) -> Verdict:
    """Apply the rule to a lift."""
    if lift.ci_low > 0.0 and lift.mean >= smallest_lift_pp:
        return "helps"
    if lift.ci_high < 0.0 and lift.mean <= -smallest_lift_pp:
        return "hurts"
    return "inconclusive"


def choose_baseline(
    runs: pd.DataFrame, metric: Metric, params: ReportParams
) -> tuple[str, BaselineChoice]:
    """Return the declared baseline, or the strongest arm without synthetic images; and why.

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
    if params.baseline != STRONGEST:
        return params.baseline, BaselineChoice(rule="declared", val=val)
    best = strongest(val, params.treatment, less_is_better=metric.factor < 0)
    if best is None:
        raise UserError(
            "report.baseline",
            "no arm without synthetic images ran, so none can be the strongest",
            "Run `ganlift run --from retrain`",
        )
    return best, BaselineChoice(rule="strongest", val=val)


def strongest(val: dict[str, float], treatment: str, *, less_is_better: bool) -> str | None:
    """Return the candidate that is best on real/val, the earlier of equals; None without any."""
    candidates = [arm for arm in val if arm != treatment]
    sign = -1.0 if less_is_better else 1.0
    return max(candidates, key=lambda arm: sign * val[arm], default=None)  # the first of equals
