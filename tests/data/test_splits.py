from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.splits import assign_splits, class_quotas, hash_uniform, keep_rows, label_quotas
from tests.reference.long_tail import long_tail

IDS = [hashlib.sha256(bytes([i % 256, i // 256])).hexdigest() for i in range(3000)]
SHARES = {"val_share": 0.15, "test_share": 0.45}


ONE_CLASS = np.zeros(len(IDS), np.int64)


def test_shares_are_about_right() -> None:
    places = assign_splits(IDS, ONE_CLASS, **SHARES, seed=0).tolist()
    for name, share in (("val", 0.15), ("test", 0.45), ("train", 0.40)):
        slack = 5 * (share * (1 - share) / len(IDS)) ** 0.5
        assert places.count(name) / len(IDS) == pytest.approx(share, abs=slack)


def test_a_share_of_nothing_gets_nothing() -> None:
    places = assign_splits(IDS, ONE_CLASS, val_share=0.0, test_share=0.3, seed=0)
    assert set(places) == {"train", "test"}


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
    ids = np.array(IDS[:300], object)
    before, after = (
        set(ids[_assigned(ids, ONE_CLASS[:300], val, share) == "test"])
        for share in (test, test + more)
    )
    assert before <= after


SETS = st.lists(  # (class, size) of each group
    st.tuples(st.integers(0, 3), st.integers(1, 4)), min_size=1, max_size=60
)


def _assigned(
    groups: np.ndarray, labels: np.ndarray, val: float = 0.15, test: float = 0.45
) -> np.ndarray:
    return assign_splits(groups, labels, val_share=val, test_share=test, seed=0)


def _images(groups: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    names = np.array([IDS[g] for g, (_, size) in enumerate(groups) for _ in range(size)], object)
    return names, np.array([label for label, size in groups for _ in range(size)])


@given(SETS)
def test_a_group_never_stands_in_two_splits(groups: list[tuple[int, int]]) -> None:
    names, labels = _images(groups)
    mixed = (labels + np.arange(len(labels))) % 4  # groups that hold several classes
    for own in (labels, mixed):
        places = _assigned(names, own)
        assert len(set(zip(names, places, strict=True))) == len(set(names))


@given(st.integers(3, 400), st.integers(0, 50))
def test_every_class_gets_about_its_share_of_every_split(count: int, first: int) -> None:
    ids = np.array(IDS[first : first + count], object)
    places = _assigned(ids, np.zeros(count, np.int64))
    for name, share in (("test", 0.45), ("val", 0.15), ("train", 0.4)):
        slack = 4 * (share * (1 - share) * count) ** 0.5
        assert max(1, int(share * count - slack)) <= (places == name).sum()
        assert (places == name).sum() <= np.ceil(share * count + slack)


@given(st.integers(100, 300), st.integers(0, 100))
def test_images_that_come_or_go_move_no_other(count: int, more: int) -> None:
    ids = np.array(IDS[: count + more], object)
    before = _assigned(ids[:count], np.zeros(count, np.int64))
    after = _assigned(ids, np.zeros(count + more, np.int64))
    assert (before == after[:count]).all()


def test_an_image_that_changes_its_label_moves_no_other() -> None:
    ids, labels = np.array(IDS[:400], object), np.arange(400) % 2
    changed = labels.copy()
    changed[7] = 1 - labels[7]
    assert (_assigned(ids, labels) == _assigned(ids, changed)).all()


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


def as_sets(quotas: list[int], labels: np.ndarray, seed: int = 0) -> list[set[str]]:
    keep = keep_rows(np.array(IDS[: len(labels)], object), labels, np.array(quotas), seed)
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
    kept = keep_rows(np.array(IDS[:90], object), labels, np.array([5, 5, 5]), 0)
    backwards = keep_rows(np.array(IDS[:90][::-1], object), labels[::-1], np.array([5, 5, 5]), 0)
    assert kept.tolist() == backwards[::-1].tolist()
    assert as_sets([5, 5, 5], labels) != as_sets([5, 5, 5], labels, seed=1)


def test_images_added_to_a_class_move_no_other() -> None:
    labels = np.random.default_rng(0).integers(0, 3, 90)
    before = as_sets([5, 5, 5], labels)
    after = as_sets([5, 5, 5], np.concatenate([labels, np.full(30, 2)]))
    assert before[:2] == after[:2]
