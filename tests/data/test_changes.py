from __future__ import annotations

from pathlib import Path

import numpy as np

from tasks.contracts.image_set import ImageSet
from tasks.data.changes import changes_since
from tests.data.fake_sets import noise_set

NAMES = ("train", "test")


def test_what_came_went_was_relabelled_or_moved(tmp_path: Path) -> None:
    images = noise_set(4)
    images.manifest["source"] = [f"{row}.png" for row in range(8)]
    before = {"train": images.take([0, 1, 2, 3, 4]), "test": images.take([5, 6])}
    folders = {name: tmp_path / name for name in NAMES}
    for name, one in before.items():
        one.save(folders[name])
    assert len(changes_since(folders, before)) == 0
    later = {"train": images.take([1, 2, 3, 4, 5, 7]), "test": images.take([6])}
    later["train"].manifest.loc[0, "class_name"] = "dog"
    later["train"].manifest.loc[1, "class_name"] = ""  # hidden: no word of its label
    table = changes_since(folders, later)
    assert table.to_numpy().tolist() == [
        ["7.png", "added", "", "train"],
        ["0.png", "gone", "train", ""],
        ["1.png", "relabelled", "cat", "dog"],
        ["5.png", "moved", "test", "train"],
    ]


def test_nothing_is_said_of_another_size_or_without_a_former_ingest(tmp_path: Path) -> None:
    images = noise_set(4)
    folders = {"train": tmp_path / "train"}
    assert changes_since(folders, {"train": images}) is None
    images.save(folders["train"])
    larger = ImageSet(np.repeat(images.images, 2, axis=1), images.manifest)
    assert changes_since(folders, {"train": larger}) is None
