from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import COLUMNS, ImageSet, Unread, concatenate, image_id, save_rows
from tests.contracts.tiny import shape_set


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("channels", [1, 3])
def test_a_set_comes_back_as_it_was_saved(tmp_path: Path, channels: int) -> None:
    saved = shape_set(3, channels=channels)
    saved.save(tmp_path / "new" / "set")
    loaded = ImageSet.load(tmp_path / "new" / "set")
    np.testing.assert_array_equal(loaded.images, saved.images)
    assert_frame_equal(loaded.manifest, saved.manifest)
    assert isinstance(loaded.images, np.memmap)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    original = shape_set(3)
    original.save(tmp_path / "a")
    original.save(tmp_path / "b")
    ImageSet.load(tmp_path / "a").save(tmp_path / "c")
    # the rows' history shows neither in index nor in memory layout
    reversed_twice = original.take(np.arange(len(original))[::-1]).take(
        np.arange(len(original))[::-1]
    )
    ImageSet(np.asfortranarray(reversed_twice.images), reversed_twice.manifest).save(tmp_path / "d")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "c") == files_of(tmp_path / "d")


def test_images_are_plain_npy(tmp_path: Path) -> None:
    shape_set(2).save(tmp_path)
    images = np.load(tmp_path / "images.npy", mmap_mode="r", allow_pickle=False)
    assert images.shape == (6, 8, 8, 1)
    assert images.dtype == np.uint8


@pytest.mark.parametrize(
    "rows", [[4, 0, 4], [], np.array([], np.int64), np.array([True, False, False] * 2), (5,)]
)
def test_take_keeps_images_and_rows_together(rows: object) -> None:
    whole = shape_set(2)
    part = whole.take(rows)  # type: ignore[arg-type]
    wanted = np.arange(6)[rows if len(rows) else []] if not isinstance(rows, tuple) else [5]
    assert list(part.manifest["image_id"]) == [whole.manifest["image_id"][row] for row in wanted]
    assert [image_id(image) for image in part.images] == list(part.manifest["image_id"])
    assert list(part.manifest.index) == list(range(len(part)))


def test_concatenate_keeps_order_and_the_union_of_columns() -> None:
    real, synthetic = shape_set(1), shape_set(2, seed=1, gan_seed=7)
    both = concatenate([real, synthetic])
    assert [image_id(image) for image in both.images] == list(both.manifest["image_id"])
    assert list(both.labels) == [0, 1, 2, 0, 0, 1, 1, 2, 2]
    assert both.manifest["gan_seed"].isna().tolist() == [True] * 3 + [False] * 6


def test_labels_and_class_names_agree() -> None:
    some = shape_set(2).take([5, 0, 3])
    assert list(some.labels) == [2, 0, 1]
    assert some.class_names == ("circle", "square", "triangle")
    assert some.image_shape == (8, 8, 1)
    labels = some.labels
    labels[0] = 99  # a copy: the manifest stays as it is
    assert list(some.labels) == [2, 0, 1]


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((6, 8, 8), np.uint8),
        np.zeros((6, 8, 8, 1), np.float32),
        np.zeros((5, 8, 8, 1), np.uint8),
    ],
)
def test_bad_shapes_are_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="images"):
        ImageSet(images, shape_set(2).manifest)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_manifest_without_a_column_is_refused(column: str) -> None:
    some = shape_set(1)
    with pytest.raises(ValueError, match=column):
        ImageSet(some.images, some.manifest.drop(columns=column))


@pytest.mark.parametrize("gone", ["images.npy", "manifest.parquet"])
def test_a_missing_file_names_folder_file_and_mend(tmp_path: Path, gone: str) -> None:
    shape_set(1).save(tmp_path)
    (tmp_path / gone).unlink()
    with pytest.raises(UserError, match=f"{gone} is missing.*ganlift run") as caught:
        ImageSet.load(tmp_path)
    assert caught.value.thing == str(tmp_path)


def test_an_id_depends_on_pixels_and_shape_alone() -> None:
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    changed = pixels.copy()
    changed[3, 3, 0] += 1
    same = [image_id(pixels), image_id(pixels.copy()), image_id(np.asfortranarray(pixels))]
    others = [
        image_id(changed),
        image_id(pixels.reshape(2, 8, 1)),
        image_id(pixels.reshape(4, 2, 2)),
        image_id(pixels[::-1]),
    ]
    assert len(set(same)) == 1
    assert len(set(others) | set(same)) == 5


def test_a_sets_ids_are_those_of_its_images() -> None:
    some = shape_set(2, channels=3)
    expected = pd.Series([image_id(image) for image in some.images])
    assert some.manifest["image_id"].tolist() == expected.tolist()


@pytest.mark.parametrize("name", ["images.npy", "manifest.parquet"])
def test_a_damaged_file_names_the_folder_and_the_mend(tmp_path: Path, name: str) -> None:
    shape_set(3).save(tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="is damaged") as caught:
        ImageSet.load(tmp_path)
    assert "dvc checkout" in caught.value.mend


@pytest.mark.parametrize("chunk_bytes", [1, 200, 2**20])
def test_rows_of_several_sets_are_written_as_if_joined_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr("tasks.contracts.image_set._CHUNK_BYTES", chunk_bytes)
    real, synthetic = shape_set(1), shape_set(2, seed=1, gan_seed=7)
    parts = [(real, np.arange(3)), (synthetic, np.array([4, 0, 5])), (real, np.arange(0))]
    save_rows(parts, tmp_path / "made" / "rows")
    concatenate([one.take(rows) for one, rows in parts]).save(tmp_path / "joined")
    assert files_of(tmp_path / "made" / "rows") == files_of(tmp_path / "joined")


def test_unread_rows_are_those_of_the_arrays_they_stand_for(tmp_path: Path) -> None:
    first, second = shape_set(2), shape_set(3, seed=1)
    unread = [ImageSet(Unread.of(one.images), one.manifest) for one in (first, second)]
    rows = [7, 0, 14, 7, 3]
    for whole in (concatenate(unread), concatenate([first, unread[1]])):
        part, held = whole.take(rows).take([3, 0, 2]), concatenate([first, second]).take([7, 7, 14])
        assert isinstance(part.images, Unread)
        np.testing.assert_array_equal(np.asarray(part.images), held.images)
        np.testing.assert_array_equal(part.images[-1], held.images[-1])
        np.testing.assert_array_equal(part.images[1:], held.images[1:])
        assert [image_id(image) for image in part.images] == list(part.manifest["image_id"])
        part.save(tmp_path / "unread")
        held.save(tmp_path / "held")
        assert files_of(tmp_path / "unread") == files_of(tmp_path / "held")
    assert len(concatenate(unread).take([]).images) == 0


def test_a_set_may_be_written_over_the_one_that_it_is_read_from(tmp_path: Path) -> None:
    shape_set(200).save(tmp_path)
    whole = ImageSet.load(tmp_path)
    expected = np.array(whole.images[::2])
    whole.take(np.arange(0, len(whole), 2)).save(tmp_path)
    ImageSet.load(tmp_path).save(tmp_path)
    assert np.array_equal(ImageSet.load(tmp_path).images, expected)
    assert {path.name for path in tmp_path.iterdir()} == {"images.npy", "manifest.parquet"}
