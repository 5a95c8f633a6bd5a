"""What each rule of the filter leaves of the pool, and what that costs in diversity."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.contracts.params.quality_filter import QualityFilterParams
from tasks.quality.fidelity import prdc
from tasks.quality.neighbours import Features, Rows
from tasks.quality.rules import in_force
from tasks.quality.selection import ACCEPTED, REASONS

_FIGURES = ("coverage", "recall", "precision")
_SCORES = ("p_real", "confidence", "nearest_distance", "hash_distance")  # with thresholds to tell


def funnel(
    reason: npt.NDArray[np.object_],
    params: QualityFilterParams,
    measured: Rows,
    features: Features,
    real: Features,
) -> list[dict[str, Any]]:
    """Return a row for the pool, one for each rule in the order applied, one for what is accepted.

    Args:
        reason: ``[M]``, one of `REASONS` for each pool image.
        params: with which they were decided.
        measured: ``[S]``, the pool images that stand for all in coverage, recall and precision.
        features: theirs, ``[S, D]``.
        real: features of held-out real images ``[N, D]``.

    Returns:
        rule, rejected (by it), left (after it), and coverage, recall and precision of those of
        `measured` that are left (`prdc`; None where they are fewer than 2).
    """
    left = np.ones(len(reason), dtype=np.bool_)
    figures = reached(features, real)
    rows = [{"rule": "pool", "rejected": 0, "left": len(reason), **figures}]
    for rule in in_force(params):
        rejected = reason == rule.reason
        left &= ~rejected
        if rejected[measured].any():
            figures = reached(features[left[measured]], real)
        counts = {"rejected": int(rejected.sum()), "left": int(left.sum())}
        rows.append({"rule": rule.reason, **counts, **figures})
    return [*rows, {"rule": ACCEPTED, "rejected": 0, "left": int(left.sum()), **figures}]


def reached(fake: Features, real: Features) -> dict[str, float | None]:
    """Return coverage, recall and precision of ``[M, D]`` fakes by ``[N, D]`` real images.

    The fewer the fakes the lower is coverage, whichever they are: compare at equal number.
    """
    if len(fake) < 2:
        return dict.fromkeys(_FIGURES)
    figures = prdc(real, fake)
    return {name: round(figures[name], 4) for name in _FIGURES}


def count_reasons(table: pd.DataFrame) -> pd.DataFrame:
    """Return class_name, reason, count: every class with every reason, zeros too, in order.

    Args:
        table: label, class_name and reason of the pool.
    """
    names = table[["label", "class_name"]].drop_duplicates().sort_values("label")["class_name"]
    index = pd.MultiIndex.from_product([names, REASONS], names=["class_name", "reason"])
    counts = table.groupby(["class_name", "reason"]).size().reindex(index, fill_value=0)
    return counts.rename("count").reset_index()


def class_summary(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return for each class its pool, its accepted images and its mean thresholds.

    A threshold that nothing had to reach is None.
    """
    return {
        str(name): {
            "pool": len(rows),
            "accepted": int((rows["reason"] == ACCEPTED).sum()),
            **{
                f"{score}_threshold": None if np.isnan(least) else round(float(least), 6)
                for score in _SCORES
                for least in [rows[f"{score}_threshold"].mean()]
            },
        }
        for name, rows in table.groupby("class_name")
    }
