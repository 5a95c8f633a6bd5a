"""The dozen figures that stand for a whole result where a screen has room for one row."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from tasks.answer.drawing import scale_of
from tasks.contracts.arms import UNFILTERED
from tasks.lift.result import LiftResult


def figures(
    result: LiftResult, gans: Mapping[str, Any], accepted: Sequence[float]
) -> dict[str, float]:
    """Return the figures of a result, whose names are short: DVC's table has 120 columns.

    Args:
        result: of the whole run.
        gans: content of ``gan.json``.
        accepted: shares of the pool that the filter let pass, 0 to 1; of each fold, or one.

    Returns:
        ``lift`` and its interval from ``low`` to ``high``, in points; the mean of the primary
        metric in the baseline (``base``), with unfiltered GAN images (``raw``) and in the
        treatment (``gan``), in percent; ``kid`` and coverage
        (``cover``, percent) of the kept checkpoints on real/val, averaged over the GANs; and the
        share of the pool that was ``kept``, in percent; the ``leak``, AUC of the attack that has
        the GAN images alone, and the ``eps`` that all GANs spend. With log loss as the primary
        metric, lifts and arms are in nats. What is not known is left out.
    """
    factor, _ = scale_of(result.primary_metric)
    digits, arm_digits = (4, 4) if result.less_is_better else (2, 1)
    lift = result.lift_pp
    found = {
        "lift": round(lift.mean, digits),
        "low": round(lift.ci_low, digits),
        "high": round(lift.ci_high, digits),
    }
    arms = {"base": result.baseline, "raw": UNFILTERED, "gan": result.treatment}
    found |= {
        name: round(factor * result.primary(arm).mean, arm_digits)
        for name, arm in arms.items()
        if arm in result.arms
    }
    judged = [gan["evaluation"] for gan in gans.values()]
    if kids := [of["kid"] for of in judged if "kid" in of]:
        found["kid"] = round(fmean(kids), 4)
    if covered := [of["coverage"] for of in judged if "coverage" in of]:
        found["cover"] = round(100.0 * fmean(covered), 1)
    found["kept"] = round(100.0 * fmean(accepted), 1)
    if result.sharing and "nearest" in result.sharing.attacks:
        found["leak"] = round(result.sharing.attacks["nearest"].auc.value, 3)
    if result.sharing and result.sharing.guarantee:
        found["eps"] = round(result.sharing.guarantee.epsilon_together, 2)
    return {name: number for name, number in found.items() if math.isfinite(number)}


def metrics_text(result: LiftResult, gans: Mapping[str, Any], accepted: Sequence[float]) -> str:
    """Return the text of ``metrics.json``, the row that DVC shows of a run: args as `figures`."""
    content = {"verdict": result.verdict} | figures(result, gans, accepted)
    return json.dumps(content, indent=2) + "\n"
