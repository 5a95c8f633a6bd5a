from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.splits import (
    assign_splits,
    class_quotas,
    fold_numbers,
    hash_uniform,
    keep_rows,
    label_quotas,
    share_slack,
)
from tests.reference.long_tail import long_tail

IDS = [hashlib.sha256(bytes([i % 256, i // 256])).hexdigest() for i in range(3000)]
SHARES = {"val_share": 0.15, "test_share": 0.45}


def test_shares_are_about_right() -> None:
    places = assign_splits(IDS, **SHARES, seed=0)
    for name, share in (("val", 0.15), ("test", 0.45), ("train", 0.40)):
        slack = 5 * (share * (1 - share) / len(IDS)) ** 0.5
        assert places.count(name) / len(IDS) == pytest.approx(share, abs=slack)


def test_a_share_of_nothing_gets_nothing() -> None:
    places = set(assign_splits(IDS, val_share=0.0, test_share=0.3, seed=0))
    assert places == {"train", "test"}


def test_another_seed_or_purpose_draws_anew() -> None:
    first = np.array([hash_uniform(one, 0, "split") for one in IDS])
    for other in (
        [hash_uniform(one, 1, "split") for one in IDS],
        [hash_uniform(one, 0, "cut") for one in IDS],
    ):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.1
    assert first.min() >= 0
    assert first.max() < 1


@given(st.floats(0.05, 0.4), st.floats(0.05, 0.4), st.floats(0.0, 0.15))
def test_a_larger_test_share_only_adds(val: float, test: float, more: float) -> None:
    before = assign_splits(IDS[:300], val_share=val, test_share=test, seed=0)
    after = assign_splits(IDS[:300], val_share=val, test_share=test + more, seed=0)
    assert all(b == "test" for a, b in zip(before, after, strict=True) if a == "test")


SHARE = st.floats(0.05, 0.45)


@given(st.integers(3, 120), SHARE, SHARE, st.integers(0, 2**31))
def test_a_class_comes_within_the_stated_slack_of_its_shares(
    groups: int, val: float, test: float, seed: int
) -> None:
    places = assign_splits(IDS[:groups], val_share=val, test_share=test, seed=seed)
    slack = share_slack(groups)
    assert set(places) == {"train", "val", "test"}
    for name, share, width in (
        ("test", test, slack),
        ("val", val, 2 * slack),
        ("train", 1 - val - test, slack),
    ):
        assert abs(places.count(name) - share * groups) <= width + 1  # 1: no split is empty


@given(st.integers(3, 120), SHARE, SHARE, st.integers(0, 2**31))
def test_one_group_more_moves_at_most_two_others(
    groups: int, val: float, test: float, seed: int
) -> None:
    shares = {"val_share": val, "test_share": test, "seed": seed}
    before = assign_splits(IDS[:groups], **shares)
    after = assign_splits([IDS[groups], *IDS[:groups]], **shares)[1:]
    assert sum(b != a for b, a in zip(before, after, strict=True)) <= 2


def test_of_many_groups_none_moves_when_others_come() -> None:
    before = assign_splits(IDS[:60], **SHARES, seed=0)
    assert assign_splits(IDS, **SHARES, seed=0)[:60] == before


def test_twins_of_one_group_are_kept_or_cut_together() -> None:
    groups = np.array([f"scene {number // 4}" for number in range(80)], object)
    labels = np.zeros(80, np.int64)
    keep = keep_rows(groups, np.array(IDS[:80], object), labels, np.array([22]), 0)
    assert keep.sum() == 22
    parted = [scene for scene in set(groups) if 0 < keep[groups == scene].sum() < 4]
    assert len(parted) == 1


COUNTS = st.lists(st.integers(0, 300), min_size=1, max_size=12)


@given(COUNTS, st.none() | st.integers(2, 200), st.floats(1.0, 200.0))
def test_quotas_follow_the_textbook(
    counts: list[int], per_class: int | None, imbalance: float
) -> None:
    quotas = class_quotas(np.array(counts), per_class, imbalance)
    np.testing.assert_allclose(quotas, long_tail(counts, per_class, imbalance), atol=1)
    assert (quotas <= counts).all()
    assert (quotas >= np.minimum(counts, 1)).all()


def test_quotas_of_known_tails() -> None:
    plenty = np.full(3, 1000)
    assert class_quotas(plenty, 100, 100.0).tolist() == [100, 10, 1]
    assert class_quotas(plenty, 20, 1.0).tolist() == [20, 20, 20]
    assert class_quotas(plenty, None, 1.0).tolist() == [1000, 1000, 1000]
    assert class_quotas(np.array([5, 50, 50]), 20, 1.0).tolist() == [5, 20, 20]


@pytest.mark.parametrize(
    ("counts", "fraction", "expected"),
    [
        ([30, 31, 300], 0.1, [3, 4, 30]),  # rounded up, but not for 0.1 * 30 = 3.0000000000000004
        ([50, 7, 1], 0.01, [2, 2, 1]),
        ([5, 0, 2], 0.5, [3, 0, 2]),
    ],
)
def test_labels_kept_of_known_counts(
    counts: list[int], fraction: float, expected: list[int]
) -> None:
    assert label_quotas(np.array(counts), fraction).tolist() == expected


@given(COUNTS, st.floats(0.001, 1.0), st.floats(0.001, 1.0))
def test_a_larger_fraction_keeps_no_fewer_labels(counts: list[int], one: float, two: float) -> None:
    there_are = np.array(counts)
    few, many = (label_quotas(there_are, part) for part in sorted((one, two)))
    assert (few <= many).all()
    assert (many <= there_are).all()
    assert (few >= np.minimum(there_are, 2)).all()
    assert (few >= there_are * min(one, two) - 1e-6).all()
    assert label_quotas(there_are, 1.0).tolist() == counts


def kept(ids: list[str], labels: np.ndarray, quotas: list[int], seed: int) -> np.ndarray:
    names = np.array(ids, object)
    return keep_rows(names, names, labels, np.array(quotas), seed)


def as_sets(quotas: list[int], labels: np.ndarray, seed: int = 0) -> list[set[str]]:
    keep = kept(IDS[: len(labels)], labels, quotas, seed)
    return [
        {IDS[row] for row in np.flatnonzero(keep & (labels == label))}
        for label in range(len(quotas))
    ]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=3, max_size=3))
def test_a_smaller_quota_keeps_a_subset(pairs: list[tuple[int, int]]) -> None:
    labels = np.random.default_rng(0).integers(0, 3, 90)
    small = as_sets([min(pair) for pair in pairs], labels)
    large = as_sets([max(pair) for pair in pairs], labels)
    for few, many, pair, there_are in zip(small, large, pairs, np.bincount(labels), strict=True):
        assert few <= many
        assert len(few) == min(*pair, there_are)


def test_what_is_kept_depends_on_content_not_on_order() -> None:
    labels = np.random.default_rng(0).integers(0, 3, 90)
    forwards = kept(IDS[:90], labels, [5, 5, 5], 0)
    backwards = kept(IDS[:90][::-1], labels[::-1], [5, 5, 5], 0)
    assert forwards.tolist() == backwards[::-1].tolist()
    assert as_sets([5, 5, 5], labels) != as_sets([5, 5, 5], labels, seed=1)


def test_images_added_to_a_class_move_no_other() -> None:
    labels = np.random.default_rng(0).integers(0, 3, 90)
    before = as_sets([5, 5, 5], labels)
    after = as_sets([5, 5, 5], np.concatenate([labels, np.full(30, 2)]))
    assert before[:2] == after[:2]


@given(st.integers(2, 12), st.integers(0, 60), st.integers(0, 2**31))
def test_folds_are_even_and_one_group_more_moves_few(folds: int, more: int, seed: int) -> None:
    groups = folds + more
    before = fold_numbers(IDS[:groups], folds, seed)
    sizes = np.bincount(before, minlength=folds + 1)[1:]
    assert set(before) == set(range(1, folds + 1))
    assert sizes.max() - sizes.min() <= 1
    after = fold_numbers([IDS[groups], *IDS[:groups]], folds, seed)[1:]
    assert sum(b != a for b, a in zip(before, after, strict=True)) <= folds - 1
