"""Refuse runs whose arms differ in more than what was added: their difference would say nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.contracts.arms import (
    DISTILLED,
    FILTERED,
    PASTED,
    REAL,
    REPEATED,
    SYNTHETIC_ONLY,
    UNFILTERED,
    fraction_of,
)
from tasks.contracts.errors import UserError
from tasks.lift.metrics import METRICS, Floats

# of one seed: the same number of added images
_MATCHED = (REPEATED, PASTED, DISTILLED, UNFILTERED, FILTERED)
_WHAT = {
    "recipe": "recipe",
    "steps": "optimiser steps",
    "real": "real images to train on",
    "real_seen": "real images shown",
    "added": "added images to train on",
    "added_seen": "added images shown",
}
_MEND = "Run `ganlift run --from retrain`, which trains every arm alike"
_SAME = 1e-4  # between a metric as retrain wrote it and as the predictions give it


def check_fair(runs: pd.DataFrame) -> None:
    """Hold that arms differ in the addition alone.

    Every run trains with one recipe and takes one number of steps. All arms train on the same
    number of real images and see as many, but for `SYNTHETIC_ONLY`, which has none, and the
    fractions of the curve. `REAL` and its fractions add nothing. With one seed, `REPEATED`,
    `PASTED`, `DISTILLED`, `UNFILTERED` and `FILTERED` add the same number of images and show as
    many (the seed decides the GAN, and a GAN how many). Pseudo-labelled images are all that there
    are.

    Args:
        runs: a row per arm and seed: arm, seed, and the columns of `_WHAT`.

    Raises:
        UserError: a column is missing, or a run differs in more; it names arm and seed.
    """
    if missing := [name for name in _WHAT if name not in runs]:
        raise UserError("runs", f"lack {', '.join(missing)}", _MEND)
    share = runs["arm"].map(fraction_of)
    whole = runs[(runs["arm"] != SYNTHETIC_ONLY) & share.isna()]
    matched = runs[runs["arm"].isin(_MATCHED)]
    for name in ("recipe", "steps"):
        _alike(runs, name)
    for name in ("real", "real_seen"):
        _alike(whole, name)
    for name in ("added", "added_seen"):
        _alike(runs[(runs["arm"] == REAL) | share.notna()], name, 0)
        for _, of_seed in matched.groupby("seed"):
            _alike(of_seed, name)


def _alike(rows: pd.DataFrame, name: str, expected: int | None = None) -> None:
    """Refuse the first run that has another value than expected: by default, than most have."""
    if rows.empty:
        return
    common = rows[name].mode().min() if expected is None else expected
    unfair = rows[rows[name] != common]
    if len(unfair):
        first = unfair.iloc[0]
        raise UserError(
            f"arm {first['arm']!r}, seed {first['seed']}",
            f"differs in its {_WHAT[name]} ({first[name]} where it should be {common}): what it "
            "gains or loses is not the addition's doing",
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
