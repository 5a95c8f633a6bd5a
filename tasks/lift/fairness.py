"""Refuse runs whose arms were not trained alike: their difference would say nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.contracts.arms import SYNTHETIC_ONLY, fraction_of
from tasks.contracts.errors import UserError
from tasks.lift.metrics import METRICS, Floats

_MEND = "Run `ganlift run --from retrain`, which trains every arm alike"
_SAME = 1e-4  # between a metric as retrain wrote it and as the predictions give it


def check_fair(runs: pd.DataFrame) -> None:
    """Hold that every run took as many steps, and every arm saw as many real images.

    Args:
        runs: a row per arm and seed: arm, steps, real_seen.

    Raises:
        UserError: an arm took other steps, or one that trains on real images saw more or
            fewer of them.
    """
    real = runs[(runs["arm"] != SYNTHETIC_ONLY) & runs["arm"].map(fraction_of).isna()]
    for rows, column, what in (
        (runs, "steps", "optimiser steps"),
        (real, "real_seen", "real images shown"),
    ):
        expected = rows[column].mode().min()
        unfair = rows[rows[column] != expected]
        if len(unfair):
            first = unfair.iloc[0]
            raise UserError(
                f"arm {first['arm']!r}, seed {first['seed']}",
                f"was trained with {first[column]} {what}, others with {expected}: "
                "what it gains or loses is not the arm's doing",
                _MEND,
            )


def check_same(values: dict[str, dict[str, Floats]], runs: pd.DataFrame) -> None:
    """Hold that runs and predictions belong together.

    Args:
        values: by arm and metric, one value a run in the order of seeds, from the predictions.
        runs: a row per arm and seed, as retrain wrote them.

    Raises:
        UserError: a metric in the runs is not what the predictions give.
    """
    for arm, metrics in values.items():
        rows = runs[runs["arm"] == arm].sort_values("seed")
        for name in METRICS:
            found = metrics[name]
            written = rows[METRICS[name].column].to_numpy(np.float64)
            if written.shape != found.shape or not np.allclose(written, found, atol=_SAME):
                raise UserError(
                    f"arm {arm!r}",
                    f"{name} in the runs is not what the predictions give",
                    "Run `ganlift run --from retrain`, which makes both anew",
                )
