"""``lift.json``: the result as plain values, schema ``ganlift/lift/1``.

Metrics and recalls are shares of 1, whatever ends in ``_pp`` is in percentage points.
Numbers are rounded before the verdict is taken, so that a reader of the file can check it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tasks.contracts.params import ReportParams
from tasks.lift.estimates import Estimates
from tasks.lift.intervals import Interval
from tasks.lift.verdict import explain, signed

SCHEMA = "ganlift/lift/1"
_DIGITS = 6
_FLAGS = ("collapsed", "rollbacks", "stopped_early", "pseudo_labelled")
_RARE_SHARE = 0.5  # of the average class


@dataclass(frozen=True)
class Material:
    """What the runs were made of.

    Attributes:
        class_names: K names in the order of their labels.
        merged: manifest of the merged training set.
        control: images of the control set, over all GANs.
        test: test images of each class ``[K]``.
        seeds: classifier seeds.
        gan_seeds: GANs that the treatment rests on, empty without.
    """

    class_names: Sequence[str]
    merged: pd.DataFrame
    control: int
    test: Sequence[int]
    seeds: Sequence[int]
    gan_seeds: Sequence[int]

    @property
    def train(self) -> dict[str, int]:
        """Real training images by class."""
        return self._by_class(self.merged[self.merged["origin"] == "real"])

    def synthetic(self, gan_seed: int) -> dict[str, int]:
        """Synthetic images of one GAN by class."""
        rows = self.merged["origin"].eq("synthetic") & self.merged["gan_seed"].eq(gan_seed)
        return self._by_class(self.merged[rows.fillna(False)])

    @property
    def rare(self) -> tuple[str, ...]:
        """Classes with fewer real training images than half the average class."""
        train = self.train
        bar = _RARE_SHARE * sum(train.values()) / len(train)
        return tuple(name for name, count in train.items() if count < bar)

    @property
    def digest(self) -> str:
        """Sha256 over id, label and origin of every merged image, in their order."""
        columns = self.merged[["image_id", "label", "origin"]].astype(str)
        lines = columns.agg(" ".join, axis=1)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _by_class(self, rows: pd.DataFrame) -> dict[str, int]:
        counts = np.bincount(rows["label"], minlength=len(self.class_names))
        return {name: int(n) for name, n in zip(self.class_names, counts, strict=True)}


def summarise(
    estimates: Estimates,
    material: Material,
    runs: pd.DataFrame,
    gans: Mapping[str, Any],
    params: ReportParams,
) -> dict[str, Any]:
    """Return the content of ``lift.json``.

    Args:
        estimates: of every arm.
        material: images behind the runs.
        runs: a row per arm and seed; its log_loss joins the metrics.
        gans: content of ``gan.json``, of which the flags are kept.
        params: the rule.
    """
    lift = _rounded(estimates.lift)
    verdict = explain(
        lift,
        treatment=params.treatment,
        baseline=params.baseline,
        metric=params.primary_metric,
        level=params.level,
        smallest_lift_pp=params.smallest_lift_pp,
    )
    train = material.train
    return {
        "schema": SCHEMA,
        "verdict": verdict.word,
        "answer": verdict.answer,
        "advice": verdict.advice,
        "primary_metric": params.primary_metric,
        "baseline": params.baseline,
        "treatment": params.treatment,
        "lift_pp": {**_ends(lift), "level": params.level},
        "noise_pp": {"runs": lift.noise_runs, "images": lift.noise_images},
        "rule": {"smallest_lift_pp": params.smallest_lift_pp, "resamples": params.resamples},
        "filter_lift_pp": _ends(_rounded(estimates.filter_lift)) if estimates.filter_lift else None,
        "arm_lift_pp": {arm: _ends(_rounded(x)) for arm, x in estimates.arm_lifts.items()},
        "arms": _arms(estimates, runs),
        "per_class": {
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
        },
        "gans": {seed: {flag: gan[flag] for flag in _FLAGS} for seed, gan in gans.items()},
        "counts": {
            "classes": len(material.class_names),
            "train": sum(train.values()),
            "synthetic": {
                str(seed): sum(material.synthetic(seed).values()) for seed in material.gan_seeds
            },
            "control": material.control,
            "test": int(sum(material.test)),
            "seeds": len(material.seeds),
            "gan_seeds": len(material.gan_seeds),
        },
        "seeds": {"classifier": list(material.seeds), "gan": list(material.gan_seeds)},
        "digests": {"merged": material.digest},
    }


def arms_table(lift: Mapping[str, Any]) -> pd.DataFrame:
    """Return the primary metric and its lift, one row an arm.

    One row, since the bars of `dvc plots` add up rows of equal name; single runs are in
    ``lift.json``.
    """
    metric = lift["primary_metric"]
    nothing = {"mean": 0.0, "ci_low": 0.0, "ci_high": 0.0}
    rows = []
    for arm, by_metric in lift["arms"].items():
        result, points = by_metric[metric], lift["arm_lift_pp"].get(arm, nothing)
        rows.append(
            {"arm": arm, "metric": metric, "runs": len(result["values"])}
            | {column: result[column] for column in ("mean", "std", "ci_low", "ci_high")}
            | {"lift_pp": points["mean"]}
            | {f"lift_{column}": points[column] for column in ("ci_low", "ci_high")}
        )
    return pd.DataFrame(rows)


def headline(lift: Mapping[str, Any]) -> str:
    """Return the verdict and the answer in a few lines, for a terminal."""
    points = lift["lift_pp"]
    collapsed = [
        f"collapse GAN {seed}: {', '.join(gan['collapsed'])}"
        for seed, gan in lift["gans"].items()
        if gan["collapsed"]
    ]
    return "\n".join(
        [
            f"verdict  {lift['verdict']}",
            f"lift     {signed(points['mean'])} pp in {lift['primary_metric']}, "
            f"{points['level'] * 100:g} % interval "
            f"{signed(points['ci_low'])} to {signed(points['ci_high'])}",
            f"answer   {lift['answer']}",
            f"         {lift['advice']}",
            *collapsed,
        ]
    )


def _arms(estimates: Estimates, runs: pd.DataFrame) -> dict[str, Any]:
    arms: dict[str, Any] = {}
    for arm, metrics in estimates.arms.items():
        values = {name: estimates.values[arm][name] for name in metrics}
        arms[arm] = {
            name: {**_spread(values[name]), **_ends(_rounded(metrics[name]))} for name in metrics
        }
        losses = runs[runs["arm"] == arm].sort_values("seed")["log_loss"].to_numpy(np.float64)
        arms[arm]["log_loss"] = _spread(losses)
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
