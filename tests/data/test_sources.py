from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.contracts.errors import UserError
from tasks.data.items import UNLABELLED
from tasks.data.sources import items_of

EMBEDDED = Path(__file__).parents[2] / "data/embedded"


def put(top: Path, *names: str) -> Path:
    """Write a one-pixel picture under each name (a PNG, whatever the suffix)."""
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (1, 1)).save(path, "PNG")
    return top


def listed(top: Path) -> list[tuple[str, str, str | None]]:
    return [(item.class_name, item.source, item.split) for item in items_of(top).items]


def test_one_folder_a_class(tmp_path: Path) -> None:
    put(tmp_path, "dog/2.png", "cat/1.JPG", "cat/deep/er/3.Tiff")
    assert listed(tmp_path) == [
        ("cat", "cat/1.JPG", None),
        ("cat", "cat/deep/er/3.Tiff", None),
        ("dog", "dog/2.png", None),
    ]


def test_the_order_is_not_the_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, *(f"{kind}/{number}.png" for kind in "cab" for number in (3, 1, 10, 2)))
    expected = listed(tmp_path)
    scan = os.scandir

    @contextmanager
    def backwards(path: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        with scan(path) as entries:
            yield iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

    monkeypatch.setattr(os, "scandir", backwards)
    assert listed(tmp_path) == expected
    assert [name for name, _, _ in expected] == sorted(name for name, _, _ in expected)


def test_splits_above_the_classes_are_respected(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/1.png", "test/cat/2.png", "val/dog/3.png", "train/dog/x/4.png")
    assert sorted(listed(tmp_path)) == [
        ("cat", "test/cat/2.png", "test"),
        ("cat", "train/cat/1.png", "train"),
        ("dog", "train/dog/x/4.png", "train"),
        ("dog", "val/dog/3.png", "val"),
    ]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    put(tmp_path, "train/1.png", "bus/2.png", "train/old/3.png")
    assert [(name, split) for name, _, split in listed(tmp_path)] == [
        ("bus", None),
        ("train", None),
        ("train", None),
    ]


def test_a_split_beside_other_folders_is_no_class(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/1.png", "masks/cat/2.png", "test/cat/3.png")
    with pytest.raises(UserError, match="masks/ stands beside it"):
        items_of(tmp_path)


@pytest.mark.parametrize("folder", ["unlabelled", "unlabeled"])
@pytest.mark.parametrize("top", ["", "train/"])
def test_unlabelled_is_no_class(tmp_path: Path, folder: str, top: str) -> None:
    put(tmp_path, f"{folder}/9.png", f"{folder}/deep/er/8.JPG", f"{folder}/.thumbs/7.png")
    put(tmp_path, f"{top}zebra/1.png", f"{top}ant/2.png")
    split = "train" if top else None
    assert listed(tmp_path) == [
        ("ant", f"{top}ant/2.png", split),
        ("zebra", f"{top}zebra/1.png", split),
        ("", f"{folder}/9.png", UNLABELLED),
        ("", f"{folder}/deep/er/8.JPG", UNLABELLED),
    ]


def test_unlabelled_images_alone_are_no_source(tmp_path: Path) -> None:
    put(tmp_path, "unlabelled/9.png", "unlabelled/cat/8.png")
    with pytest.raises(UserError, match="holds no images"):
        items_of(tmp_path)


@pytest.mark.parametrize("split", ["train", "test"])
def test_unlabelled_inside_a_split_is_refused(tmp_path: Path, split: str) -> None:
    put(tmp_path, "train/cat/1.png", "test/cat/2.png", f"{split}/unlabelled/3.png")
    with pytest.raises(UserError, match=rf"inside a split.*beside {split}/"):
        items_of(tmp_path)


def test_hidden_and_other_files_are_not_looked_at(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/1.png", "test/cat/2.png")
    put(tmp_path, ".git/x.png", "train/.cache/3.png", "train/cat/.thumbs/4.png")
    put(tmp_path, "train/cat/._1.png", "5.png", "train/6.png")
    (tmp_path / "train/cat/notes.txt").write_text("hello")
    (tmp_path / "train/cat/folder.png").mkdir()
    assert [source for _, source, _ in listed(tmp_path)] == ["test/cat/2.png", "train/cat/1.png"]


def test_items_are_opened_each_on_its_own(tmp_path: Path) -> None:
    for level in (10, 200):
        path = tmp_path / "cat" / f"{level:03d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (2, 2), level).save(path)
    assert [np.asarray(item.open()).max() for item in items_of(tmp_path).items] == [10, 200]


def test_a_source_that_is_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such source"):
        items_of(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no images.*one folder a class"):
        items_of(tmp_path)
    put(tmp_path, "1.png")  # pictures, but in no class
    with pytest.raises(UserError, match=r"holds 1 images but no class folders.*metadata\.csv"):
        items_of(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(UserError, match="cat: this class folder holds no images"):
        items_of(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"- 1",
        b"embedded: faces",
        b"embedded: [1]",
        b"a: [",
        b"\xff\xd8\xff",
        b"x: 2020-99-99",
    ],
)
def test_a_file_that_is_no_source(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "source.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"embedded: NAME.*digits"):
        items_of(path)


def test_the_embedded_digits(tmp_path: Path) -> None:
    path = tmp_path / "any.yaml"
    path.write_text("embedded: digits\n")
    items = items_of(path).items
    assert len(items) == 1797
    assert {item.class_name for item in items} == set("0123456789")
    pictures = np.stack([np.asarray(item.open()) for item in items])
    assert pictures.shape == (1797, 8, 8)
    assert (pictures.min(), pictures.max()) == (0, 255)
    assert len(np.unique(pictures)) == 17
    assert len({item.source for item in items}) == 1797


def test_two_rare_digits_are_judged_by_as_many_images_as_the_others() -> None:
    listing = items_of(EMBEDDED / "digits_rare.yaml").items
    found = Counter((item.split, item.class_name) for item in listing)
    rare = {("train", name): found["train", name] for name in ("1", "8")}
    assert rare == {("train", "1"): 4, ("train", "8"): 4}
    assert {found["train", name] for name in "02345679"} == {40}
    assert min(found["test", name] for name in "0123456789") > 30
    others = {item.source: item for item in items_of(EMBEDDED / "digits_photographed.yaml").items}
    for item in listing:  # what was tested on there is nowhere trained on here, and looks the same
        if item.split != "train":
            assert others[item.source].split == item.split
            assert np.array_equal(*(np.asarray(one.open()) for one in (item, others[item.source])))
    assert len({item.source for item in listing}) == len(listing)


def test_photographed_digits_and_their_scans_have_no_digit_in_common() -> None:
    """Seen through light, ink and noise: a photograph is dark where its scan is bright."""
    listing = items_of(EMBEDDED / "digits_photographed.yaml").items
    scans = {item.source: item.open() for item in items_of(EMBEDDED / "digits.yaml").items}
    assert {item.source for item in listing} == set(scans)
    splits = Counter(item.split for item in listing)
    assert splits == {"other_domain": 898, "train": 350, "val": 135, "test": 414}
    likeness = []
    for item in listing[::25]:
        shown, scan = (np.asarray(image, float) for image in (item.open(), scans[item.source]))
        again = np.asarray(item.open(), float)
        assert np.array_equal(shown, again)
        if item.split == "other_domain":
            assert np.array_equal(shown, scan)
        else:
            likeness.append(np.corrcoef(shown.ravel(), scan.ravel())[0, 1])
    assert np.mean(likeness) < -0.4
