"""``lift.json``: the result as plain values, schema ``ganlift/lift/2``.

Metrics and recalls are shares of 1, log loss is in nats. Whatever ends in ``_pp`` is in the
``unit`` of the primary metric, and more of it is better.
Numbers are rounded before the verdict is taken, so that a reader of the file can check it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tasks.contracts.params.report import ReportParams
from tasks.lift.baseline import Baseline
from tasks.lift.estimates import Estimates
from tasks.lift.intervals import Interval
from tasks.lift.material import Material
from tasks.lift.power import POWER, minimum_detectable, settle
from tasks.lift.verdict import Verdict, explain
from tasks.lift.worth import Worth

SCHEMA = "ganlift/lift/2"
_DIGITS = 6
_FLAGS = ("collapsed", "rollbacks", "stopped_early", "pseudo_labelled")


def summarise(
    estimates: Estimates,
    baseline: Baseline,
    material: Material,
    runs: pd.DataFrame,
    gans: Mapping[str, Any],
    retrained: Mapping[str, Any],
    params: ReportParams,
) -> dict[str, Any]:
    """Return the content of ``lift.json``.

    Args:
        estimates: of every arm.
        baseline: that the treatment is compared with.
        material: images behind the runs.
        runs: a row per arm and seed; its ece and its metric on real/val join the arms.
        gans: content of ``gan.json``, of which the flags are kept.
        retrained: content of ``retrain.json``.
        params: the rule.
    """
    metric = estimates.metric
    lift = _rounded(estimates.lift)
    gan_luck = len(material.gan_seeds) != 1
    verdict = explain(
        lift,
        treatment=params.treatment,
        baseline=baseline,
        metric=metric,
        level=params.level,
        smallest_lift_pp=params.smallest_lift_pp,
        gan_luck=gan_luck,
    )
    rule = "declared" if baseline.declared else "strongest"
    return {
        "schema": SCHEMA,
        "verdict": verdict.word,
        "answer": verdict.answer,
        "advice": verdict.advice,
        "primary_metric": metric.key,
        "metric_name": metric.title,
        "unit": metric.unit,
        "baseline": baseline.arm,
        "baseline_choice": {"rule": rule, "val": _round(baseline.val)},
        "treatment": params.treatment,
        "lift_pp": {
            **_ends(lift),
            "level": params.level,
            **_round({"p_value": lift.p_value, "df": lift.df, "se": lift.se}),
        },
        "noise_pp": _round(
            {"runs": estimates.noise.runs**0.5, "images": estimates.noise.images**0.5}
        ),
        "gan_luck": gan_luck,
        "rule": {"smallest_lift_pp": params.smallest_lift_pp, "resamples": params.resamples},
        "power": POWER,
        "mde_pp": round(minimum_detectable(lift, params.level), _DIGITS),
        "settle": _settle(verdict, lift, estimates, material, params),
        "filter_lift_pp": _ends(_rounded(estimates.filter_lift)) if estimates.filter_lift else None,
        "arm_lift_pp": {arm: _ends(_rounded(x)) for arm, x in estimates.arm_lifts.items()},
        "comparisons": [
            {
                "arm": found.arm,
                "over": found.over,
                "lift_pp": _ends(_rounded(found.lift)) | _round({"p_value": found.lift.p_value}),
                "p_holm": round(found.p_holm, _DIGITS),
            }
            for found in estimates.comparisons
        ],
        "mcnemar": [_round(vars(found)) for found in estimates.mcnemar],
        "arms": _arms(estimates, runs),
        "worth": _worth(estimates.worth),
        "more_real": _more_real(estimates.more_real),
        "per_class": _per_class(estimates, material),
        "gans": {seed: {flag: gan[flag] for flag in _FLAGS} for seed, gan in gans.items()},
        "counts": _counts(material),
        "seeds": {"classifier": list(material.seeds), "gan": list(material.gan_seeds)},
        "classifier": {
            "name": retrained["classifier"],
            **{key: retrained[key] for key in ("learning_rate", "weight_decay", "kept")},
        },
        "digests": {"merged": material.digest, "test": retrained["test"]["digest"]},
    }


def _settle(
    verdict: Verdict,
    lift: Interval,
    estimates: Estimates,
    material: Material,
    params: ReportParams,
) -> dict[str, int | None] | None:
    """Return what would settle it; None where it is settled, or the mean too small to matter."""
    if verdict.word != "inconclusive" or abs(lift.mean) < params.smallest_lift_pp:
        return None
    return dict(
        vars(
            settle(
                lift,
                estimates.noise,
                gans=len(material.gan_seeds),
                seeds=len(material.seeds),
                test_images=sum(material.test),
                level=params.level,
            )
        )
    )


def _per_class(estimates: Estimates, material: Material) -> dict[str, Any]:
    train = material.train
    return {
        name: {
            "baseline_recall": round(result.baseline_recall, _DIGITS),
            "treatment_recall": round(result.treatment_recall, _DIGITS),
            "lift_pp": _ends(_rounded(result.lift)),
            "train_images": train[name],
            "test_images": int(test),
            "rare": name in material.rare,
        }
        for name, test, result in zip(
            material.class_names, material.test, estimates.classes, strict=True
        )
    }


def _counts(material: Material) -> dict[str, Any]:
    return {
        "classes": len(material.class_names),
        "train": sum(material.train.values()),
        "synthetic": {
            str(seed): sum(material.synthetic(seed).values()) for seed in material.gan_seeds
        },
        "control": material.control,
        "test": int(sum(material.test)),
        "seeds": len(material.seeds),
        "gan_seeds": len(material.gan_seeds),
    }


def _worth(worth: Worth | None) -> dict[str, Any] | None:
    if worth is None:
        return None
    return {
        "real_images": worth.real_images,
        "low": worth.low,
        "high": worth.high,
        "beyond": worth.beyond,
        "have": worth.have,
        "curve": [
            {"arm": arm, "real_images": images, **_ends(_rounded(point))}
            for arm, (images, point) in worth.curve.items()
        ],
    }


def _more_real(more: tuple[int, Interval] | None) -> dict[str, Any] | None:
    return more and {"real_images": more[0], "lift_pp": _ends(_rounded(more[1]))}


def _arms(estimates: Estimates, runs: pd.DataFrame) -> dict[str, Any]:
    arms: dict[str, Any] = {}
    for arm, metrics in estimates.arms.items():
        rows = runs[runs["arm"] == arm].sort_values("seed")
        arms[arm] = {
            name: {**_spread(estimates.values[arm][name]), **_ends(_rounded(found))}
            for name, found in metrics.items()
        }
        arms[arm]["ece"] = _spread(rows["ece"])
        arms[arm]["val"] = _round({"mean": rows[f"val_{estimates.metric.column}"].mean()})
    return arms


def _spread(values: Any) -> dict[str, Any]:
    return {
        "mean": round(float(np.mean(values)), _DIGITS),
        "std": round(float(np.std(values, ddof=1)), _DIGITS),
        "values": [round(float(value), _DIGITS) for value in values],
    }


def _ends(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "ci_low": interval.low, "ci_high": interval.high}


def _rounded(interval: Interval) -> Interval:
    return Interval(*(round(value, _DIGITS) for value in vars(interval).values()))


def _round(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: round(float(value), _DIGITS) if isinstance(value, float) else value
        for key, value in values.items()
    }
