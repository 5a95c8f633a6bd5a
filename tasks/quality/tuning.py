"""Settle thresholds and quota of the filter on real/val, by a search small enough to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from tasks.contracts.params.quality_filter import QualityFilterParams
from tasks.quality.neighbours import Rows
from tasks.quality.selection import ACCEPTED, Scored, check_any_gan, decide, emptied

TUNED = ("p_real_quantile", "top_share", "confidence_quantile", "per_class")
COLUMNS = (*TUNED, "accepted", "val_balanced_accuracy", "chosen")
_P_REAL = {
    "threshold": ("p_real_quantile", (0.0, 0.1, 0.3)),
    "top_share": ("top_share", (1.0, 0.7, 0.4)),
    "rejection_sampling": ("top_share", (1.0, 0.7, 0.4)),
    "informative": ("top_share", (1.0, 0.7, 0.4)),
}
_CONFIDENCE = (0.0, 0.1)
_QUOTA = (1.0, 0.5)  # of the mean number of real images of a class

Judge = Callable[[Sequence[Rows]], Sequence[float]]
"""Accepted pool rows of each candidate to balanced accuracy on real/val, 0..1."""


def candidates(params: QualityFilterParams, real_per_class: float) -> list[QualityFilterParams]:
    """Return 12 settings: three of `select`, two of confidence, two of the quota.

    The quota of each GAN and class is a share of the mean number of real images of a class, not
    of that class's own: a rare class would get fewest of the images it needs most.
    """
    key, strictness = _P_REAL[params.select]
    quotas = [max(1, round(share * real_per_class)) for share in _QUOTA]
    return [
        params.model_copy(update={key: value, "confidence_quantile": quantile, "per_class": quota})
        for value, quantile, quota in product(strictness, _CONFIDENCE, quotas)
    ]


def tune(
    scored: Scored, tried: Sequence[QualityFilterParams], judge: Judge, seed: int
) -> tuple[QualityFilterParams, pd.DataFrame]:
    """Return the settings whose accepted images make the best classifier, and a row for each.

    Of equals the gentler wins, which accepts more images. Settings that leave more classes of GANs
    without images than others do have a row and no accuracy.

    Args:
        scored: the pool.
        tried: settings to compare.
        judge: trains on what each of them accepts.
        seed: of the filter's draws.

    Raises:
        UserError: no settings accept any image.
    """
    every: list[Rows] = []
    rows: list[dict[str, Any]] = []
    lost: list[int] = []
    for params in tried:
        table = decide(scored, params, seed)
        kept = np.flatnonzero(table["reason"] == ACCEPTED)
        rows.append({key: getattr(params, key) for key in TUNED} | {"accepted": len(kept)})
        every.append(kept)
        lost.append(len(emptied(table, scored.asked)))
    gentlest = int(np.argmin(lost))
    check_any_gan(decide(scored, tried[gentlest], seed), tried[gentlest], scored.asked)
    feasible = [number for number, count in enumerate(lost) if count == lost[gentlest]]
    accepted = [every[number] for number in feasible]
    scores = judge(accepted)
    best = max(
        range(len(feasible)),
        key=lambda place: (scores[place], len(accepted[place]), -place),
    )
    log = pd.DataFrame(rows).assign(val_balanced_accuracy=np.nan, chosen=False)
    log.loc[feasible, "val_balanced_accuracy"] = np.round(scores, 6)
    log.loc[feasible[best], "chosen"] = True
    return tried[feasible[best]], log[list(COLUMNS)]


def summary(log: pd.DataFrame) -> dict[str, Any] | None:
    """Return how many settings were tried, and which was chosen; None where none was tried."""
    if log.empty:
        return None
    chosen = log[log["chosen"].astype(bool)].iloc[0]
    return {
        "tried": len(log),
        "chosen": {key: chosen[key].item() for key in TUNED},
        "val_balanced_accuracy": float(chosen["val_balanced_accuracy"]),
    }
