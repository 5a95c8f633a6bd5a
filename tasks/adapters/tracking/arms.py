"""The arms of a pipeline's run: their table, and a run for each with means and intervals."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pandas as pd

from tasks.adapters.tracking.lineage import lineage_tags, safe_name
from tasks.adapters.tracking.store import Store
from tasks.lift.result import LiftResult

_KEYS = ("arm", "seed", "gan_seed", "recipe")
_TABLE = "seeds.json"
_DIGITS = 6  # as lift.json has them


def arms_table(result: LiftResult) -> pd.DataFrame:
    """Return a row for each arm: what to read first stands first, MLflow's page is narrow."""
    rows = []
    for arm in result.arms:
        of, lift = result.primary(arm), result.arm_lift_pp.get(arm)
        rows.append(
            {
                "arm": arm,
                result.primary_metric: of.mean,
                "lift": 0.0 if lift is None else lift.mean,
                "lift from": 0.0 if lift is None else lift.ci_low,
                "lift to": 0.0 if lift is None else lift.ci_high,
                "metric from": of.ci_low,
                "metric to": of.ci_high,
                "metric std": of.std,
                "runs": len(of.values),
            }
        )
    return pd.DataFrame(rows)


def write_arms(
    store: Store, experiment: str, parent: str, dataset: str, runs: pd.DataFrame, result: LiftResult
) -> None:
    """Log a child run for each arm; recalls of classes stand in its table alone.

    Seeds are no steps: a line through them would show a course that there is not.

    Args:
        store: where to.
        experiment: its id.
        parent: id of the pipeline's run.
        dataset: the source as in ``params.yaml``.
        runs: content of ``runs.parquet``.
        result: what was found from them.
    """
    from mlflow.entities import Metric, Param

    client = store.client()
    for name, rows in runs.groupby("arm", sort=False):
        arm, now = str(name), time.time_ns() // 1_000_000
        tags = lineage_tags("arm", dataset) | store.own_process()
        tags |= {"mlflow.parentRunId": parent, "ganlift.arm": arm}
        run_id = client.create_run(experiment, now, tags, arm).info.run_id
        client.log_batch(
            run_id,
            metrics=[Metric(*item, now, 0) for item in _means(arm, rows, result)],
            params=[Param("arm", arm), Param("recipe", str(rows["recipe"].iloc[0]))],
        )
        own = rows.drop(columns=["arm", "recipe"]).astype({"gan_seed": object})
        client.log_table(run_id, own, _TABLE)
        store.end(run_id, "FINISHED", now)


def _means(arm: str, rows: pd.DataFrame, result: LiftResult) -> Iterator[tuple[str, float]]:
    of = result.arms.get(arm)
    for name in rows.columns:
        if name in _KEYS or "recall_" in name:
            continue
        yield safe_name(name), round(float(rows[name].mean()), _DIGITS)
        if of is not None and name in of:
            yield safe_name(f"{name}.ci_low"), of[name].ci_low
            yield safe_name(f"{name}.ci_high"), of[name].ci_high
