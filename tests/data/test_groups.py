"""What belongs together is joined, and stands in one split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import UserError
from tasks.data.groups import hold_apart, joined
from tests.data.fake_sets import noise_set


def slow_joined(groups: list[str], pairs: list[tuple[int, int]]) -> list[str]:
    """Textbook: rename until nothing changes."""
    names = list(groups)
    changed = True
    while changed:
        changed = False
        for a, b in pairs:
            for old, new in ((max(names[a], names[b]), min(names[a], names[b])),):
                if old != new:
                    names = [new if name == old else name for name in names]
                    changed = True
    return names


ROWS = st.integers(0, 19)


@given(
    st.lists(st.sampled_from("abcdefghij"), min_size=20, max_size=20),
    st.lists(st.tuples(ROWS, ROWS), max_size=15),
)
def test_joint_groups_are_the_textbooks(groups: list[str], pairs: list[tuple[int, int]]) -> None:
    assert joined(groups, np.array(pairs, np.int64).reshape(-1, 2)) == slow_joined(groups, pairs)


def test_a_group_stays_where_it_is_held_out_most() -> None:
    images = noise_set(4)
    manifest = images.manifest
    manifest["group"] = ["p", "p", "p", "q", "q", "r", "r", "s"]
    given_splits = ["train", "test", None, "train", "val", None, None, "train"]
    kept, places, dropped = hold_apart(images, given_splits, "drop")
    assert [one.source for one in dropped] == manifest["source"][[0, 3]].tolist()
    assert [one.reason for one in dropped] == [
        "its group also stands in test",
        "its group also stands in val",
    ]
    assert places == ["test", "test", "val", None, None, "train"]
    assert kept.manifest["group"].tolist() == ["p", "p", "q", "r", "r", "s"]
    with pytest.raises(UserError, match="group 'p' stands in two splits, as do 1 other"):
        hold_apart(images, given_splits, "refuse")


def test_without_given_splits_nothing_is_dropped() -> None:
    images = noise_set(4)
    kept, places, dropped = hold_apart(images, [None] * 8, "refuse")
    assert (len(kept), places, dropped) == (8, [None] * 8, [])
