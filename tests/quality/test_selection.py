from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import UserError
from tasks.quality.selection import (
    ACCEPTED,
    REASONS,
    check_every_class,
    class_thresholds,
    decide,
    random_control,
)


def test_each_class_has_its_own_quantile() -> None:
    scores = np.r_[np.linspace(0, 1, 11), np.linspace(10, 20, 11)]
    labels = np.repeat([0, 1], 11)
    assert class_thresholds(scores, labels, 2, 0.1) == pytest.approx([0.1, 11])
    assert class_thresholds(scores, labels, 2, 0.0).tolist() == [0.0, 10.0]


@pytest.mark.parametrize(("rare", "borrows"), [(0, True), (1, True), (4, True), (5, False)])
def test_a_rare_class_borrows_the_quantile_of_all(rare: int, borrows: bool) -> None:
    scores = np.r_[np.linspace(0, 1, 50), np.full(rare, 9.0)]
    labels = np.r_[np.zeros(50, int), np.full(rare, 1)]
    thresholds = class_thresholds(scores, labels, 2, 0.2)
    assert thresholds[0] == pytest.approx(np.quantile(scores[:50], 0.2))
    assert thresholds[1] == pytest.approx(np.quantile(scores, 0.2) if borrows else 9.0)


def test_an_image_is_given_the_first_test_it_fails() -> None:
    cases = list(itertools.product([False, True], repeat=3))
    table = pd.DataFrame(cases, columns=["is_copy", "unsure", "unreal"])
    table["confidence"] = np.where(table["unsure"], 0.1, 0.5)
    table["p_real"] = np.where(table["unreal"], 0.2, 0.3)
    table["confidence_threshold"], table["p_real_threshold"] = 0.5, 0.3  # equal is enough
    expected = [
        "copy" if copy else "low confidence" if unsure else "low p_real" if unreal else "accepted"
        for copy, unsure, unreal in cases
    ]
    assert decide(table).tolist() == expected
    assert set(expected) == set(REASONS)


@pytest.mark.parametrize("score", ["confidence", "p_real"])
def test_a_score_that_is_no_number_is_not_accepted(score: str) -> None:
    row = {"is_copy": False, "confidence": 1.0, "p_real": 1.0}
    row |= {"confidence_threshold": 0.5, "p_real_threshold": 0.5, score: np.nan}
    assert decide(pd.DataFrame([row])).tolist() == [f"low {score}"]


def judged(*reasons: str) -> pd.DataFrame:
    """One GAN, classes ant and bee: the ants are all accepted, the bees get these reasons."""
    return pd.DataFrame(
        {
            "gan_seed": 7,
            "class_name": ["ant"] * 3 + ["bee"] * len(reasons),
            "label": [0] * 3 + [1] * len(reasons),
            "reason": [ACCEPTED] * 3 + list(reasons),
        }
    )


@pytest.mark.parametrize(
    ("worst", "key"),
    [
        ("copy", "copy_quantile"),
        ("low confidence", "confidence_quantile"),
        ("low p_real", "p_real_quantile"),
    ],
)
def test_an_emptied_class_names_the_score_that_emptied_it(worst: str, key: str) -> None:
    other = "copy" if worst != "copy" else "low p_real"
    with pytest.raises(UserError, match=f"class 'bee'.*GAN 7's 5 .*3 fell to {worst}.*{key}"):
        check_every_class(judged(other, worst, worst, other, worst))


def test_one_accepted_image_of_each_class_and_gan_is_enough() -> None:
    check_every_class(judged("copy", ACCEPTED, "copy"))
    both = pd.concat([judged(ACCEPTED), judged("copy").assign(gan_seed=8)])
    with pytest.raises(UserError, match="GAN 8"):
        check_every_class(both)


def pool(seed: int = 0, n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "gan_seed": rng.choice([0, 3], n),
            "label": rng.integers(0, 4, n),
            "reason": rng.choice(REASONS, n),
            "p_real": rng.random(n),
        }
    )


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_control_matches_the_accepted_in_number(seed: int, data: int) -> None:
    table = pool(data)
    rows = random_control(table, seed)
    assert len(np.unique(rows)) == len(rows)
    kinds = ["gan_seed", "label"]
    accepted = table[table["reason"] == ACCEPTED].groupby(kinds).size()
    assert table.iloc[rows].groupby(kinds).size().to_dict() == accepted.to_dict()


def test_the_control_is_drawn_from_the_seed_and_not_by_the_scores() -> None:
    table = pool()
    rows = random_control(table, 0)
    assert rows.tolist() == random_control(table, 0).tolist()
    assert rows.tolist() != random_control(table, 1).tolist()
    # the same number accepted, but others of them: the control stays
    kinds = table.groupby(["gan_seed", "label"])["reason"]
    shuffled = table.assign(reason=kinds.transform(lambda reasons: reasons.to_numpy()[::-1]))
    assert (shuffled["reason"] != table["reason"]).any()
    assert rows.tolist() == random_control(shuffled, 0).tolist()


def test_every_image_of_the_pool_is_as_likely_as_any() -> None:
    table = pool()
    drawn = np.zeros(len(table))
    for seed in range(150):
        drawn[random_control(table, seed)] += 1
    accepted = table["reason"] == ACCEPTED
    share = accepted.groupby([table["gan_seed"], table["label"]]).transform("mean").to_numpy()
    slack = 5 * np.sqrt(150 * share * (1 - share))
    assert (np.abs(drawn - 150 * share) <= slack).all()


def test_its_first_images_are_random_too() -> None:
    table = pool().assign(gan_seed=0, label=0)
    rows = random_control(table, 0)
    assert (np.diff(rows) < 0).any()  # not in the order of the pool
