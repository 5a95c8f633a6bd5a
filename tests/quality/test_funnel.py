from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.params.quality_filter import QualityFilterParams
from tasks.quality.fidelity import prdc
from tasks.quality.funnel import class_summary, count_reasons, funnel, reached
from tasks.quality.selection import REASONS
from tests.contracts.tiny import tiny_params


def params() -> QualityFilterParams:
    return tiny_params(
        quality_filter={"confidence_quantile": 0.1, "p_real_quantile": 0.1}
    ).quality_filter


def test_every_step_tells_what_is_left_and_what_it_covers() -> None:
    rng = np.random.default_rng(0)
    pool, real = rng.normal(size=(200, 4)), rng.normal(size=(60, 4))
    reasons = rng.choice(["accepted", "low confidence", "low p_real"], 200)
    every = np.arange(200)
    rows = funnel(reasons.astype(object), params(), every, pool, real)
    names = ["pool", "copy", "near duplicate", "low confidence", "low p_real", "accepted"]
    assert [row["rule"] for row in rows] == names
    left = np.ones(200, dtype=bool)
    for row in rows:
        mine = reasons == row["rule"]
        left &= ~mine if row["rule"] != "accepted" else mine
        expected = 0 if row["rule"] == "accepted" else mine.sum()
        assert (row["rejected"], row["left"]) == (expected, left.sum())
        figures = prdc(real, pool[left])
        for name in ("coverage", "recall", "precision"):
            assert row[name] == pytest.approx(figures[name], abs=1e-4)
    assert sum(row["rejected"] for row in rows) == 200 - rows[-1]["left"]
    some = np.arange(0, 200, 3)
    sampled = funnel(reasons.astype(object), params(), some, pool[some], real)
    for row, whole in zip(sampled, rows, strict=True):
        assert (row["rejected"], row["left"]) == (whole["rejected"], whole["left"])
        assert row["precision"] == pytest.approx(whole["precision"], abs=0.12)
    kept = some[reasons[some] == "accepted"]
    assert sampled[-1]["recall"] == pytest.approx(prdc(real, pool[kept])["recall"], abs=1e-4)


def test_too_few_images_for_neighbours_have_no_figures() -> None:
    real = np.random.default_rng(0).normal(size=(9, 2))
    reasons = np.array(["accepted", "copy", "copy"], dtype=object)
    rows = funnel(reasons, params(), np.arange(3), real[:3], real)
    assert rows[1]["coverage"] is None
    assert reached(real[:1], real) == {"coverage": None, "recall": None, "precision": None}


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": [1, 0, 1, 1],
            "class_name": ["ant", "zebra", "ant", "ant"],
            "reason": ["copy", "accepted", "accepted", "copy"],
            "p_real_threshold": [0.4, np.nan, 0.5, 0.6],
            "confidence_threshold": np.nan,
            "nearest_distance_threshold": 2.0,
            "hash_distance_threshold": [4.0, 5.0, 4.0, 4.0],
        }
    )


def test_reasons_are_counted_with_zeros_in_the_order_of_labels() -> None:
    counts = count_reasons(table())
    assert list(counts["class_name"]) == ["zebra"] * len(REASONS) + ["ant"] * len(REASONS)
    assert list(counts["reason"]) == [*REASONS, *REASONS]
    some = counts[counts["count"] > 0].to_numpy().tolist()
    assert some == [["zebra", "accepted", 1], ["ant", "accepted", 1], ["ant", "copy", 2]]


def test_a_threshold_that_was_not_asked_for_is_none() -> None:
    names = ("p_real", "confidence", "nearest_distance", "hash_distance")
    for name, counts, expected in (
        ("ant", (3, 1), (0.5, None, 2.0, 4.0)),
        ("zebra", (1, 1), (None, None, 2.0, 5.0)),
    ):
        summary = class_summary(table())[name]
        assert (summary["pool"], summary["accepted"]) == counts
        assert tuple(summary[f"{score}_threshold"] for score in names) == expected
