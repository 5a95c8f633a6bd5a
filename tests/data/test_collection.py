from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.ingest import IngestParams
from tasks.data.collection import check_classes, distinct, split
from tasks.data.decoding import FITS
from tasks.data.items import Item
from tasks.data.reading import decode
from tests.contracts.tiny import tiny_params
from tests.data.fake_sets import image_set, noise_set


def params(**overrides: object) -> IngestParams:
    return tiny_params(ingest=overrides).ingest


def item(
    class_name: str, source: str, content: int | tuple[int, int, int] | Exception, where=None
) -> Item:
    def open_it() -> Image.Image:
        if isinstance(content, Exception):
            raise content
        return Image.new("L" if isinstance(content, int) else "RGB", (8, 8), content)

    return Item(class_name, source, where, open_it)


def decoded(items: Sequence[Item], **overrides: object):
    return decode(items, params(**overrides), lambda share, text: None)


def test_a_manifest_row_tells_all_of_its_image() -> None:
    images, done = decoded([item("dog", "dog/1", 40), item("ant", "ant/2", 60, "test")])
    assert images.class_names == ("ant", "dog")
    assert images.labels.tolist() == [1, 0]
    assert np.asarray(images.images)[:, 0, 0, 0].tolist() == [40, 60]
    assert images.manifest["source"].tolist() == ["dog/1", "ant/2"]
    assert images.manifest["group"].tolist() == images.manifest["image_id"].tolist()
    assert set(images.manifest["origin"]) == {"real"}
    assert images.manifest["original_width"].tolist() == [8, 8]
    assert done.given == [None, "test"]
    assert done.unreadable == []


@pytest.mark.parametrize(
    ("channels", "contents", "depth"),
    [
        ("auto", [10, 20], 1),
        ("auto", [(10, 10, 11), 20], 1),
        ("auto", [(10, 90, 10), 20], 3),
        (1, [(10, 90, 10), 20], 1),
        (3, [10, 20], 3),
    ],
)
def test_channels(channels: object, contents: list, depth: int) -> None:
    images, _ = decoded(
        [item("a", f"{row}", content) for row, content in enumerate(contents)], channels=channels
    )
    assert images.image_shape == (8, 8, depth)
    assert (images.images[1] == 20).all()  # grey is the same in every channel


@pytest.mark.parametrize(
    "error",
    [
        OSError("truncated"),
        ValueError("bad"),
        SyntaxError("broken"),
        MemoryError(),
        RuntimeError("decoder"),
        NotImplementedError("mode"),
        struct.error("unpack"),
        AttributeError("tag"),
        TypeError("tag"),
        ZeroDivisionError("fraction"),
        Image.DecompressionBombError("huge"),
    ],
)
def test_the_unreadable_are_told_and_left_out(error: Exception) -> None:
    images, done = decoded([item("a", "a/1", error), item("a", "a/2", 5)])
    assert len(images) == len(done.given) == 1
    (one,) = done.unreadable
    assert (one.source, one.class_name) == ("a/1", "a")
    assert one.reason == f"unreadable: {str(error) or 'MemoryError'}"


def test_a_reason_holds_no_absolute_path() -> None:
    error = OSError("cannot identify image file '/home/me/a/1.png'")
    _, done = decoded([item("a", "a/1", error), item("a", "a/2", 5)])
    (one,) = done.unreadable
    assert one.reason == "unreadable: OSError"


def test_nothing_readable_at_all() -> None:
    with pytest.raises(UserError, match=r"none of its 2 image files could be read.*broken"):
        decoded([item("a", "a/1", OSError("broken")), item("b", "b/1", OSError("broken"))])


def test_a_bug_of_ours_is_not_taken_for_a_bad_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FITS, "pad", lambda image, size: 1 / 0)
    wide = replace(item("a", "a/1", 5), open=lambda: Image.new("L", (9, 4)))
    with pytest.raises(ZeroDivisionError):
        decoded([wide])


def some(levels: Sequence[int], labels: Sequence[int], sources: Sequence[str]) -> ImageSet:
    images = np.array(levels, np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 8, 8, 1), np.uint8)
    return image_set(images, labels, ["ant", "bee", "cat"], source=list(sources))


def distinct_of(images: ImageSet, given: Sequence[str | None]):
    """Of images that were as small as this before."""
    ids = images.manifest["image_id"].str.encode("ascii").tolist()
    found = distinct(images, given, ids.__getitem__)
    assert found.shrunk == 0
    return found.images, found.given, found.copies


def test_images_that_only_shrinking_made_equal_are_counted_apart() -> None:
    images = some([1, 1, 1, 2], [0, 0, 0, 0], ["a", "b", "c", "d"])
    found = distinct(images, ["train", "test", "train", None], [b"1", b"2", b"2"].__getitem__)
    assert found.shrunk == 1
    assert found.images.manifest["source"].tolist() == ["b", "d"]
    assert [(one.source, one.reason) for one in found.copies] == [
        ("a", "identical to b once it is made small"),
        ("c", "identical to b"),
    ]


def test_one_of_identical_images_is_kept_the_first_by_name() -> None:
    images = some([1, 2, 1, 1], [0, 0, 0, 0], ["c", "d", "a", "b"])
    kept, _, rejected = distinct_of(images, [None] * 4)
    assert kept.manifest["source"].tolist() == ["d", "a"]
    assert [(one.source, one.reason) for one in rejected] == [
        ("b", "identical to a"),
        ("c", "identical to a"),
    ]


@pytest.mark.parametrize(
    ("splits", "kept_split"),
    [
        (["train", "test", "val"], "test"),
        (["val", "train", "train"], "val"),
        (["train", "train", "test"], "test"),
        ([None, "val", None], "val"),
    ],
)
def test_a_copy_stays_where_it_is_held_out(splits: list, kept_split: str) -> None:
    kept, given_splits, rejected = distinct_of(some([9] * 3, [1] * 3, ["x", "y", "z"]), splits)
    assert given_splits == [kept_split]
    assert kept.manifest["source"].tolist() == ["xyz"[splits.index(kept_split)]]
    assert len(rejected) == 2


def test_an_image_of_two_classes_is_of_none() -> None:
    images = some([1, 1, 1, 2], [0, 1, 0, 2], ["a", "b", "c", "d"])
    kept, given_splits, rejected = distinct_of(images, ["train", "test", "train", "train"])
    assert kept.manifest["source"].tolist() == ["d"]
    assert given_splits == ["train"]
    assert {one.source for one in rejected} == set("abc")
    assert {one.reason for one in rejected} == {"identical images under ant, bee"}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=40))
def test_every_image_is_either_kept_once_or_rejected(drawn: list[tuple[int, int]]) -> None:
    levels, labels = zip(*drawn, strict=True)
    images = some(levels, labels, [f"{row:02d}" for row in range(len(drawn))])
    kept, _, rejected = distinct_of(images, [None] * len(drawn))
    both = kept.manifest["source"].tolist() + [one.source for one in rejected]
    assert sorted(both) == images.manifest["source"].tolist()
    classes_of = {level: {label for one, label in drawn if one == level} for level in levels}
    alone = {level for level, classes in classes_of.items() if len(classes) == 1}
    assert sorted(kept.images[:, 0, 0, 0].tolist()) == sorted(alone)


def test_a_class_that_lost_all_its_images_is_named() -> None:
    items = [item("ant", "1", 5), item("bee", "2", OSError("x")), item("cat", "3", 6)]
    images, done = decoded(items)
    with pytest.raises(UserError, match=r"class 'bee'.*none of its images is left"):
        check_classes(items, images)
    check_classes([items[0], items[2]], images)
    everything_clashes = [item("ant", "1", 5), item("bee", "2", 5)]
    images, done = decoded(everything_clashes)
    images, _, _ = distinct_of(images, done.given)
    with pytest.raises(UserError, match="class 'ant'"):
        check_classes(everything_clashes, images)


def ids(part: ImageSet) -> set[str]:
    return set(part.manifest["image_id"])


def test_every_image_lands_in_exactly_one_part() -> None:
    images = noise_set(60)
    parts = split(images, [None] * 120, params(per_class=10), 0)
    assert list(parts) == ["train", "val", "test", "cut", "hidden"]
    assert sum(len(part) for part in parts.values()) == 120
    assert set().union(*map(ids, parts.values())) == ids(images)
    assert np.bincount(parts["train"].labels).tolist() == [10, 10]


@given(st.integers(0, 2**31), st.integers(1, 60))
def test_images_stay_in_their_split_when_others_are_added(seed: int, added: int) -> None:
    before, new = noise_set(40, seed=1), noise_set(added, seed=2)
    images = np.concatenate([new.images, before.images])
    after = image_set(images, [*new.labels, *before.labels], ["cat", "dog"])
    old = split(before, [None] * len(before), params(), seed)
    more = split(after, [None] * len(after), params(), seed)
    for name in ("train", "val", "test"):
        assert ids(old[name]) == ids(more[name]) & ids(before)


def test_quotas_cut_the_training_split_alone() -> None:
    images = noise_set(80)
    whole, few, fewer = (
        split(images, [None] * 160, params(per_class=n, imbalance=b), 0)
        for n, b in ((None, 1), (12, 1), (12, 4))
    )
    for parts in (few, fewer):
        assert ids(parts["val"]) == ids(whole["val"])
        assert ids(parts["test"]) == ids(whole["test"])
        assert ids(parts["train"]) | ids(parts["cut"]) == ids(whole["train"])
    assert ids(fewer["train"]) < ids(few["train"]) < ids(whole["train"])
    assert np.bincount(fewer["train"].labels).tolist() == [12, 3]


def test_the_fraction_hides_labels_before_the_cut_and_in_train_alone() -> None:
    images = noise_set(80)
    whole, some, few = (
        split(images, [None] * 160, params(label_fraction=share, per_class=n), 0)
        for share, n in ((1.0, None), (0.3, None), (0.3, 5))
    )
    there_are = np.bincount(whole["train"].labels)
    assert np.bincount(some["train"].labels).tolist() == [math.ceil(0.3 * n) for n in there_are]
    for parts in (some, few):
        assert ids(parts["val"]) == ids(whole["val"])
        assert ids(parts["test"]) == ids(whole["test"])
        assert ids(parts["hidden"]) == ids(whole["train"]) - ids(some["train"])
    assert len(some["cut"]) == len(whole["hidden"]) == 0
    assert np.bincount(few["train"].labels).tolist() == [5, 5]
    assert ids(few["train"]) | ids(few["cut"]) == ids(some["train"])


def test_hiding_labels_moves_no_image_into_train() -> None:
    """The same cut with and without hidden labels trains on the same labelled images."""
    images = noise_set(80)
    whole = split(images, [None] * 160, params(per_class=6), 0)
    some = split(images, [None] * 160, params(per_class=6, label_fraction=0.5), 0)
    assert ids(some["train"]) == ids(whole["train"])
    assert ids(some["hidden"]) < ids(whole["cut"])


def test_given_splits_are_respected_and_the_missing_one_is_taken_from_train() -> None:
    images = noise_set(50)
    where = ["test" if row % 5 == 0 else "train" for row in range(100)]
    parts = split(images, where, params(), 0)
    given_test = {
        one
        for one, split in zip(images.manifest["image_id"], where, strict=True)
        if split == "test"
    }
    assert ids(parts["test"]) == given_test
    assert 5 <= len(parts["val"]) <= 30  # val_share of the other 80
    full = split(images, ["train", "test", "val", "train"] * 25, params(), 0)
    assert len(full["val"]) == len(full["test"]) == 25


def test_a_single_class_is_refused() -> None:
    with pytest.raises(UserError, match="only one class \\('cat'\\)"):
        split(noise_set(20, ["cat"]), [None] * 20, params(), 0)


def test_a_class_too_small_for_the_splits_is_named() -> None:
    images = image_set(
        np.concatenate([noise_set(60).images, noise_set(1, ["elk"], seed=9).images]),
        [0] * 60 + [1] * 60 + [2],
        ["cat", "dog", "elk"],
    )
    with pytest.raises(UserError, match=r"class 'elk': its 1 images leave none for \w+ and \w+"):
        split(images, [None] * 121, params(), 0)


def test_a_class_that_is_spelt_otherwise_in_one_split_is_told() -> None:
    images = noise_set(20)
    names = images.manifest["class_name"].replace({"dog": "Dog "}).where(np.arange(40) % 4 == 3)
    manifest = images.manifest.assign(class_name=names.fillna(images.manifest["class_name"]))
    labels = {name: row for row, name in enumerate(sorted(set(manifest["class_name"])))}
    manifest["label"] = manifest["class_name"].map(labels)
    given = np.where(manifest["class_name"] == "Dog ", "test", "train").tolist()
    with pytest.raises(
        UserError, match=r"class 'Dog '.*leave none for train.*Name its folder 'dog'"
    ):
        split(ImageSet(images.images, manifest), given, params(), 0)


@given(st.integers(2, 6), st.integers(0, 2**31))
def test_folds_test_on_every_image_once_and_part_no_group(folds: int, seed: int) -> None:
    images = noise_set(24)
    pairs = np.arange(len(images)) // 2  # two images a group, one group of both classes
    pairs[[0, -1]] = 1000
    images.manifest["group"] = [f"group {number}" for number in pairs]
    tested: list[str] = []
    for fold in range(1, folds + 1):
        parts = split(images, [None] * len(images), params(folds=folds), seed, fold)
        sets = {name: part.manifest for name, part in parts.items()}
        for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
            assert not set(sets[one]["group"]) & set(sets[other]["group"])
        tested += sets["test"]["image_id"].tolist()
    assert sorted(tested) == sorted(images.manifest["image_id"])


def test_val_keeps_its_share_of_all_images_in_a_fold() -> None:
    images = noise_set(400)
    parts = split(images, [None] * 800, params(folds=4, val_share=0.3), 0, 2)
    assert len(parts["test"]) == 200
    assert len(parts["val"]) / 800 == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize(
    ("per_class", "given_test", "said"),
    [
        (3, False, "class 'cat': its 3 groups are fewer than ingest.folds 4"),
        (9, True, "ingest.folds 4: the source has a test split of its own"),
    ],
)
def test_folds_that_the_images_do_not_allow_are_refused(
    per_class: int, given_test: bool, said: str
) -> None:
    images = noise_set(per_class)
    given_splits: list[str | None] = [None] * len(images)
    if given_test:
        given_splits[0] = "test"
    with pytest.raises(UserError, match=said):
        split(images, given_splits, params(folds=4), 0, 1)
