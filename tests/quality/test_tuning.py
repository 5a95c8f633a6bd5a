from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.errors import UserError
from tasks.contracts.params.quality_filter import QualityFilterParams
from tasks.quality.selection import Scored, real_scores
from tasks.quality.tuning import COLUMNS, candidates, summary, tune
from tests.contracts.tiny import tiny_params


def params(**changes: object) -> QualityFilterParams:
    return tiny_params(
        quality_filter={"tune": True, "reject_copies": False} | changes
    ).quality_filter


def scored(n: int = 300) -> Scored:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "gan_seed": np.repeat([0, 1], n // 2),
            "label": np.tile([0, 1, 2], n // 3),
            "p_real": rng.random(n),
            "confidence": rng.random(n),
            "margin": 0.5,
            "realism": 0.5,
            "agrees": True,
        }
    ).assign(class_name=lambda rows: rows["label"].map(["ant", "bee", "cat"].__getitem__))
    labels, values = np.repeat([0, 1, 2], 20), np.linspace(0, 1, 60)
    real = [real_scores({"p_real": values}, labels, gan) for gan in (0, 1)]
    of_every_gan = real_scores({"confidence": values, "margin": values - 0.5}, labels)
    return Scored(table, pd.concat([*real, of_every_gan]), np.zeros((n, 2)).__getitem__)


@pytest.mark.parametrize("select", ["threshold", "top_share", "rejection_sampling", "informative"])
def test_a_dozen_different_settings_begin_with_the_gentlest(select: str) -> None:
    tried = candidates(params(select=select, margin_quantile=0.2), 20)
    assert len(tried) == len({str(one) for one in tried}) == 12
    assert {one.per_class for one in tried} == {20, 10}
    assert {(one.select, one.margin_quantile) for one in tried} == {(select, 0.2)}
    counts: list[int] = []

    def judge(accepted: Sequence[np.ndarray]) -> list[float]:
        counts.extend(map(len, accepted))
        return [0.5] * len(accepted)

    chosen, log = tune(scored(), tried, judge, 0)
    assert chosen == tried[0]
    assert counts[0] == max(counts)
    assert list(log) == list(COLUMNS)
    assert log["accepted"].tolist() == counts


def test_the_best_is_chosen_and_every_one_is_logged() -> None:
    tried = candidates(params(), 20)
    scores = np.linspace(0.5, 0.6, 12)[[3, 1, 4, 0, 5, 9, 2, 6, 8, 7, 11, 10]]
    chosen, log = tune(scored(), tried, lambda accepted: list(scores), 0)
    assert chosen == tried[10]
    assert log["chosen"].tolist() == [number == 10 for number in range(12)]
    assert log["val_balanced_accuracy"].tolist() == pytest.approx(list(scores), abs=1e-6)
    assert summary(log) == {
        "tried": 12,
        "chosen": {
            "p_real_quantile": 0.3,
            "top_share": 1.0,
            "confidence_quantile": 0.1,
            "per_class": 20,
        },
        "val_balanced_accuracy": pytest.approx(0.6),
    }


def test_of_equals_the_gentler_wins() -> None:
    tried = list(reversed(candidates(params(), 20)))
    chosen, log = tune(scored(), tried, lambda accepted: [0.5] * len(accepted), 0)
    accepted = log["accepted"].to_numpy()
    assert log["chosen"].to_numpy()[accepted.argmax()]
    assert chosen.per_class == 20


def test_what_empties_a_class_is_logged_and_never_chosen() -> None:
    case = scored()
    case.table.loc[case.table["label"] == 1, "confidence"] = -1.0
    chosen, log = tune(case, candidates(params(), 20), lambda kept: [0.5] * len(kept), 0)
    assert chosen.confidence_quantile == 0.0
    refused = log["confidence_quantile"] > 0
    assert log["val_balanced_accuracy"].isna().equals(refused)
    case.table["is_copy"] = case.table["is_duplicate"] = True
    with pytest.raises(UserError, match="copy_quantile"):
        tune(case, candidates(params(reject_copies=True), 20), lambda kept: [], 0)


def test_a_gan_that_gets_no_image_through_leaves_the_choice_to_the_others() -> None:
    case = scored()
    case.table["is_copy"] = case.table["is_duplicate"] = case.table["gan_seed"] == 3
    chosen, log = tune(
        case, candidates(params(reject_copies=True), 20), lambda kept: [0.5] * len(kept), 0
    )
    assert log["val_balanced_accuracy"].notna().all()
    assert chosen.per_class == 20


def test_no_tuning_is_no_summary() -> None:
    assert summary(pd.DataFrame(columns=list(COLUMNS))) is None
