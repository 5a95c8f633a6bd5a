from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.image_set import ImageSet, concatenate
from tasks.data.beside import hide_labels
from tasks.data.collection import split
from tasks.data.groups import copies_across, join_groups, part_leaks, told_twins, with_twins
from tests.contracts.tiny import tiny_params
from tests.data.fake_sets import image_set, noise_set


def grouped(names: list[str | None], seed: int = 0) -> ImageSet:
    """One image a name; without one its group is its own id."""
    images = noise_set(len(names), ["ant"], seed=seed, shape=(16, 16, 1))
    ids = images.manifest["image_id"]
    own = [one if name is None else name for name, one in zip(names, ids, strict=True)]
    return ImageSet(images.images, images.manifest.assign(group=own))


def twins(*pairs: tuple[int, int]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["a", "b"])


def groups_of(images: ImageSet) -> list[str]:
    return images.manifest["group"].tolist()


def test_twins_join_named_groups_and_images_without_one() -> None:
    images = grouped(["p2", "p2", "p1", None, None, None])
    ids = images.manifest["image_id"].tolist()
    joined = join_groups(images, twins((1, 2), (3, 4)))
    pair = min(ids[3], ids[4])
    assert groups_of(joined) == ["p1", "p1", "p1", pair, pair, ids[5]]
    assert groups_of(join_groups(images, twins((0, 3))))[:4] == ["p2", "p2", "p1", "p2"]


def test_copies_link_the_groups_that_they_stand_in() -> None:
    images = grouped(["p1", "p2", None])
    everything = concatenate([images, images.take([0])])
    everything.manifest.loc[3, "group"] = "p2"
    assert groups_of(join_groups(everything))[:2] == ["p1", "p1"]


def test_twins_are_told_by_id_with_splits_and_without_hidden_labels() -> None:
    first = noise_set(3, ["ant", "bee"], shape=(16, 16, 1))
    darker = (first.images * 0.5).astype(np.uint8)
    again = image_set(darker, [0, 0, 0, 1, 1, 1], ["ant", "bee"])
    labelled, loose, pairs = with_twins(
        concatenate([first, again.take([0, 3])]),
        hide_labels(again.take([1])),
        0.9,
        lambda share, text: None,
    )
    assert len(pairs) == 3
    assert (pairs["id_a"] < pairs["id_b"]).all()
    group = labelled.manifest["group"]
    assert group[0] == group[6]
    assert group[3] == group[7]
    assert loose.manifest["group"].tolist() == [group[1]]
    ids = labelled.manifest["image_id"].tolist()
    told = told_twins(
        pairs, {ids[3]: "test", ids[7]: "unlabelled"}, hide_labels(labelled.take([7]))
    )
    row = told[(told["split_a"] == "test") | (told["split_b"] == "test")].iloc[0]
    ends = {row["split_a"]: "a", row["split_b"]: "b"}
    assert row[f"class_{ends['test']}"] == "bee"
    assert row[f"class_{ends['unlabelled']}"] == ""
    assert row[f"source_{ends['unlabelled']}"] == f"hidden/{ids[7]}"
    assert list(told.columns) == [
        *("source_a", "class_a", "split_a", "source_b", "class_b", "split_b"),
        "correlation",
    ]


@pytest.mark.parametrize(
    ("given_splits", "left", "dropped"),
    [
        (["train", "test", "val", "train"], ["test", "train"], [0, 2]),
        (["train", "val", "train", "train"], ["val", "train"], [0, 2]),
        (["train", "train", "train", "test"], ["train", "train", "train", "test"], []),
        ([None, "test", None, None], ["test", "test", "test", None], []),
        ([None, None, None, None], [None, None, None, None], []),
    ],
)
def test_a_group_stays_where_it_is_most_held_out(given_splits, left, dropped) -> None:
    images = grouped(["scene", "scene", "scene", None])
    kept, splits, leaks = part_leaks(images, given_splits)
    sources = images.manifest["source"].tolist()
    assert splits == left
    assert [one.source for one in leaks] == [sources[row] for row in dropped]
    assert len(kept) + len(leaks) == 4
    for one in leaks:
        assert f"{sources[1]}, which is in {left[0]}" in one.reason


def test_copies_across_given_splits_are_told_from_others() -> None:
    one = grouped([None, None])
    images = concatenate([one, one, one])
    images.manifest["source"] = list("abcdef")
    assert copies_across(images, ["train", "train", "test", "train", "val", None]) == {"a", "e"}


NAMES = st.lists(st.integers(0, 30), min_size=30, max_size=120)


@given(NAMES, st.integers(0, 2**31), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29))))
def test_no_group_stands_in_two_splits(names: list[int], seed: int, links: list) -> None:
    images = noise_set(len(names), seed=3)
    scenes = [f"scene {name}" if name < 20 else None for name in names] * 2
    ids = images.manifest["image_id"]
    own = [one if name is None else name for name, one in zip(scenes, ids, strict=True)]
    extra = noise_set(40, seed=4)  # alone in their groups, so that no class is without a split
    images = ImageSet(images.images, images.manifest.assign(group=own))
    joined = join_groups(concatenate([images, extra]), pd.DataFrame(links, columns=["a", "b"]))
    parts = split(joined, [None] * len(joined), tiny_params().ingest, seed)
    where = {name: set(parts[name].manifest["group"]) for name in ("train", "val", "test")}
    assert not where["train"] & where["val"]
    assert not where["train"] & where["test"]
    assert not where["val"] & where["test"]
    assert sum(len(parts[name]) for name in parts) == len(joined)
