"""Reading items into pixels: one scale for deep grey, frames, and what is left of an original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.data.reading import Decoded, decode, read
from tasks.data.trees import folder_tree
from tests.contracts.tiny import tiny_params


def read_folder(folder: Path, white: int | None = None, **overrides: object) -> Decoded:
    items = [leaf.item("a", None) for leaf in folder_tree(folder).leaves]
    params = tiny_params(ingest=overrides).ingest
    return read(items, params, lambda share, text: None, white)


def test_deep_grey_has_one_scale_so_that_images_keep_their_relation(tmp_path: Path) -> None:
    for number, level in enumerate((4095, 2048, 100)):
        deep = np.full((8, 8), level, np.uint16)
        Image.fromarray(deep).save(tmp_path / f"{number}.png")
    Image.new("L", (8, 8), 200).save(tmp_path / "9.png")
    done = read_folder(tmp_path)
    assert done.white == 4095
    assert [int(image[0, 0, 0]) for image in done.pixels] == [255, 128, 6, 200]
    again = read_folder(tmp_path, white=65535)  # that of other images, for prediction
    assert [int(image[0, 0, 0]) for image in again.pixels] == [16, 8, 0, 200]
    assert again.white == 65535


def test_without_deep_images_there_is_no_scale(tmp_path: Path) -> None:
    Image.new("L", (9, 4), 200).save(tmp_path / "1.png")
    done = read_folder(tmp_path)
    assert done.white is None
    assert (done.originals[0].width, done.originals[0].height) == (9, 4)


@pytest.mark.parametrize("suffix", ["tif", "gif", "webp", "png"])
def test_frames(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (8, 8), (60 * k + 10, 0, 200 - 50 * k)) for k in range(4)]
    frames[0].save(tmp_path / f"film.{suffix}", save_all=True, append_images=frames[1:])
    frames[1].save(tmp_path / "still.png")
    first = read_folder(tmp_path)
    assert [item.source for item in first.items] == [f"film.{suffix}", "still.png"]
    assert first.with_more_frames == 1
    every = read_folder(tmp_path, frames="all")
    assert [item.source for item in every.items] == [
        *(f"film.{suffix}#{k}" for k in range(4)),
        "still.png",
    ]
    assert [item.group for item in every.items] == [f"film.{suffix}"] * 4 + [None]
    assert every.with_more_frames == 0
    shades = [image.reshape(-1, image.shape[2]).mean(axis=0)[0] for image in every.pixels[:4]]
    assert np.abs(np.array(shades) - [10, 70, 130, 190]).max() <= 8
    (tmp_path / "broken.tif").write_bytes(b"II*\0no")
    assert [one.source for one in read_folder(tmp_path, frames="all").unreadable] == ["broken.tif"]


def test_the_number_of_threads_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for number in range(60):
        side = int(rng.integers(8, 400))  # so that a later image may be through first
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:02d}.png")
    for number in (7, 21, 59):
        (tmp_path / f"{number:02d}.png").write_bytes(b"no image")
    Image.fromarray(np.full((8, 8), 999, np.uint16)).save(tmp_path / "30.png")

    def told(threads: int) -> tuple[bytes, list[str], list[str], int | None]:
        monkeypatch.setattr("joblib.cpu_count", lambda: threads)
        done = read_folder(tmp_path)
        sources = ([item.source for item in done.items], [one.source for one in done.unreadable])
        return done.pixels[:].tobytes(), *sources, done.white

    one = told(1)
    assert len(one[1]) == 57
    assert one[2:] == (["07.png", "21.png", "59.png"], 1023)
    assert told(7) == one


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (one,) = read_folder(tmp_path).unreadable
    assert (one.source, one.reason) == ("gone.png", "unreadable: a link to nothing")


def test_grey_images_before_the_first_with_colour_become_colour(tmp_path: Path) -> None:
    for number in range(5):
        Image.new("L", (8, 8), 40 * number).save(tmp_path / f"{number}.png")
    Image.new("RGB", (8, 8), (250, 10, 10)).save(tmp_path / "5.png")
    Image.new("L", (8, 8), 77).save(tmp_path / "6.png")
    pixels = read_folder(tmp_path).pixels[:]
    assert pixels[:, 0, 0].tolist() == [[40 * k] * 3 for k in range(5)] + [[250, 10, 10], [77] * 3]


def test_what_is_decoded_is_chosen_and_saved_without_being_read(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    rng = np.random.default_rng(0)
    for number in range(9):
        picture = Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8))
        picture.save(tmp_path / f"raw/{number}.png")
    items = [leaf.item("a", None) for leaf in folder_tree(tmp_path / "raw").leaves]
    images, done = decode(items, tiny_params().ingest, lambda share, text: None, tmp_path / "own")
    images.take([0, 3, 8]).save(tmp_path / "unread")
    ImageSet(done.pixels[:], images.manifest).take([0, 3, 8]).save(tmp_path / "held")
    for name in ("images.npy", "manifest.parquet"):
        assert (tmp_path / "unread" / name).read_bytes() == (tmp_path / "held" / name).read_bytes()
    assert not isinstance(images.take([0, 3, 8]).images, np.ndarray)
    assert not list((tmp_path / "own").iterdir())  # the file has no name, so nothing is left


def test_a_digest_is_of_the_whole_original_and_a_file_that_went_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (90, 120, 3), np.uint8)
    for suffix in ("bmp", "png"):
        Image.fromarray(pixels).save(tmp_path / f"one.{suffix}")
    pixels[50, 50] ^= 1
    Image.fromarray(pixels).save(tmp_path / "other.png")
    done = read_folder(tmp_path)
    assert done.digest(0) == done.digest(1) != done.digest(2)
    (tmp_path / "other.png").unlink()
    with pytest.raises(UserError, match=r"other\.png: changed while it was read"):
        done.digest(2)
