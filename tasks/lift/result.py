"""From what retrain wrote to the content of ``lift.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tasks.contracts.params.report import ReportParams
from tasks.lift.baseline import choose_baseline
from tasks.lift.estimates import estimate
from tasks.lift.fairness import check_fair, check_same
from tasks.lift.material import Material
from tasks.lift.metrics import metric_named
from tasks.lift.predictions import read_predictions
from tasks.lift.summary import summarise


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
) -> dict[str, Any]:
    """Check that the runs are fair, choose the baseline, estimate the lift, take the verdict.

    Args:
        runs: a row per arm and seed.
        predictions: a row per arm, seed and test image.
        class_names: K names in the order of their labels.
        retrained: content of ``retrain.json``.
        merged: manifest of the merged training set.
        control: images of the control set.
        gans: content of ``gan.json``.
        params: the rule.
        seed: of all resampling.

    Raises:
        UserError: runs that are not fair, do not belong together or cannot be paired, a metric
            or an arm that there is not, or too few test images.
    """
    check_fair(runs)
    metric = metric_named(params.primary_metric, class_names)
    baseline = choose_baseline(runs, metric, params)
    judged = read_predictions(predictions, class_names)
    real_images = {arm: int(of["real"]) for arm, of in retrained["arms"].items()}
    estimates = estimate(judged, metric, baseline.arm, real_images, params, seed)
    check_same(estimates.values, runs)
    treated = judged.arms[params.treatment]
    material = Material(
        class_names=class_names,
        merged=merged,
        control=control,
        test=np.bincount(judged.labels, minlength=len(class_names)).tolist(),
        seeds=treated.seeds,
        gan_seeds=sorted(set(treated.gan_seeds or ())),
    )
    return summarise(estimates, baseline, material, runs, gans, retrained, params)
