"""``lift.json`` as tables for `dvc plots`, and in a few lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from tasks.lift.verdict import signed

_CURVE_COLUMNS = ("arm", "real_images", "mean", "ci_low", "ci_high")


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


def curve_table(lift: Mapping[str, Any]) -> pd.DataFrame:
    """Return the primary metric by number of real images; only its header without a curve."""
    points = lift["worth"]["curve"] if lift["worth"] else []
    return pd.DataFrame(points, columns=list(_CURVE_COLUMNS))


def headline(lift: Mapping[str, Any]) -> str:
    """Return the verdict and the answer in a few lines."""
    points = lift["lift_pp"]
    collapsed = [
        f"collapse GAN {seed}: {', '.join(gan['collapsed'])}"
        for seed, gan in lift["gans"].items()
        if gan["collapsed"]
    ]
    return "\n".join(
        [
            f"verdict  {lift['verdict']}",
            f"lift     {signed(points['mean'])} {lift['unit']} of {lift['metric_name']}, "
            f"{points['level'] * 100:g} % interval "
            f"{signed(points['ci_low'])} to {signed(points['ci_high'])}",
            f"answer   {lift['answer']}",
            f"         {lift['advice']}",
            *collapsed,
        ]
    )
