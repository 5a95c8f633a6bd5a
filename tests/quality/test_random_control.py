from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tasks.quality.selection import ACCEPTED, REASONS, random_control


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
