from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import UserError
from tasks.contracts.params.merge import MergeParams
from tasks.data.mixing import (
    asked_of_each_class,
    choose_synthetic,
    spread_evenly,
    synthetic_quota,
)

LABELS = [0, 1, 2]


def pool(rows: list[tuple[int, int, int]]) -> pd.DataFrame:
    """Rows of (GAN, label, content); equal content is an equal image."""
    return pd.DataFrame(
        {
            "image_id": [f"image {content}" for _, _, content in rows],
            "label": [label for _, label, _ in rows],
            "gan_seed": [gan for gan, _, _ in rows],
            "latent_seed": [7 * content % 31 for _, _, content in rows],
        }
    )


pools = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(LABELS), st.integers(0, 40)), max_size=80
).map(pool)


@given(hundredths=st.integers(1, 500), real=st.integers(0, 5000))
def test_quota_is_the_floor_of_the_written_decimal(hundredths, real):
    assert synthetic_quota(hundredths / 100, real) == Fraction(hundredths, 100) * real // 1


def test_quota_is_not_one_short_by_rounding():
    assert int(0.29 * 100) == 28  # what plain floats give
    assert synthetic_quota(0.29, 100) == 29


@given(total=st.integers(0, 200), count=st.integers(1, 12), seed=st.integers(0, 5))
def test_shares_are_even_complete_and_nested(total, count, seed):
    labels = list(range(count))
    shares, more = spread_evenly(total, labels, seed), spread_evenly(total + 1, labels, seed)
    assert sum(shares.values()) == total
    assert max(shares.values()) - min(shares.values()) <= 1
    assert all(more[label] >= shares[label] for label in labels)


@settings(max_examples=60, deadline=None)
@given(manifest=pools, quota=st.integers(0, 30), seed=st.integers(0, 3))
def test_choice_fills_even_shares_as_far_as_images_go(manifest, quota, seed):
    rows = choose_synthetic(manifest, asked=spread_evenly(quota, LABELS, seed), seed=seed)
    chosen = manifest.iloc[rows]
    assert chosen["image_id"].is_unique
    shares = spread_evenly(quota, LABELS, seed)
    order = ["gan_seed", "label", "latent_seed", "image_id"]
    distinct = manifest.sort_values(order).drop_duplicates("image_id")
    for gan in range(3):
        for label in LABELS:
            here = (distinct["gan_seed"] == gan) & (distinct["label"] == label)
            took = ((chosen["gan_seed"] == gan) & (chosen["label"] == label)).sum()
            assert took == min(int(here.sum()), shares[label])


@settings(max_examples=60, deadline=None)
@given(manifest=pools, quota=st.integers(0, 30), order=st.randoms(use_true_random=False))
def test_choice_does_not_depend_on_the_order_of_rows(manifest, quota, order):
    shuffled = list(range(len(manifest)))
    order.shuffle(shuffled)
    again = manifest.iloc[shuffled].reset_index(drop=True)
    first = manifest.iloc[choose_synthetic(manifest, asked=spread_evenly(quota, LABELS, 1), seed=1)]
    second = again.iloc[choose_synthetic(again, asked=spread_evenly(quota, LABELS, 1), seed=1)]
    pd.testing.assert_frame_equal(
        first.reset_index(drop=True), second.reset_index(drop=True), check_dtype=False
    )


@settings(max_examples=40, deadline=None)
@given(manifest=pools, quota=st.integers(0, 29))
def test_a_larger_quota_keeps_what_a_smaller_one_chose(manifest, quota):
    small, large = (
        set(
            manifest.iloc[choose_synthetic(manifest, asked=spread_evenly(n, LABELS, 0), seed=0)][
                "image_id"
            ]
        )
        for n in (quota, quota + 1)
    )
    assert small <= large


def test_seed_decides_and_every_image_has_its_chance():
    manifest = pool([(0, 0, content) for content in range(20)])
    taken = np.zeros(20)
    for seed in range(300):
        taken[choose_synthetic(manifest, asked={0: 5}, seed=seed)] += 1
    assert taken.sum() == 1500
    assert taken.min() > 40  # expected 75, standard deviation 7.5
    assert taken.max() < 110


def test_image_made_by_two_gans_counts_for_the_first():
    manifest = pool([(1, 0, 5), (0, 0, 5), (1, 0, 6)])
    assert choose_synthetic(manifest, asked={0: 9}, seed=0).tolist() == [1, 2]


@pytest.mark.parametrize("quota", [0, 1, 100])
def test_empty_pool_gives_nothing(quota):
    assert len(choose_synthetic(pool([]), asked=spread_evenly(quota, LABELS, 0), seed=0)) == 0


COUNTED = {0: 5, 1: 40, 2: 12}


def asked(target: str | int) -> dict[int, int]:
    params = MergeParams(target_per_class=target, synthetic_per_real=1.0)
    return asked_of_each_class(params, COUNTED, seed=0)


def test_every_class_is_brought_up_to_a_number_and_none_is_taken_from():
    assert asked(15) == {0: 10, 1: 0, 2: 3}
    assert asked(50) == {0: 45, 1: 10, 2: 38}


def test_balance_brings_every_class_up_to_the_most_frequent():
    assert asked("balance") == {0: 35, 1: 0, 2: 28}


def test_ratio_asks_as_many_of_every_class():
    assert set(asked("ratio").values()) == {19}


def test_a_target_that_every_class_has_reached_is_refused():
    with pytest.raises(UserError, match=r"target_per_class: 5.*Set merge.target_per_class=80"):
        asked_of_each_class(
            MergeParams(target_per_class=5, synthetic_per_real=1.0), COUNTED, seed=0
        )


@given(
    manifest=pools,
    wanted=st.dictionaries(st.sampled_from(LABELS), st.integers(0, 30)),
    seed=st.integers(0, 3),
)
def test_no_gan_gives_a_class_more_than_was_asked_of_it(manifest, wanted, seed):
    chosen = manifest.iloc[choose_synthetic(manifest, asked=wanted, seed=seed)]
    for (_, label), count in chosen.groupby(["gan_seed", "label"]).size().items():
        assert count <= wanted.get(label, 0)
