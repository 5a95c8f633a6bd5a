from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.contracts.image_set import COLUMNS, ImageSet, image_id
from tasks.data.beside import decode_beside, hide_labels, join_unlabelled
from tasks.data.items import UNLABELLED, Item
from tests.contracts.tiny import shape_set, tiny_params
from tests.data.fake_sets import image_set, noise_set

GREY = (8, 8, 1)


def item(source: str, content: int | tuple[int, int, int] | Exception) -> Item:
    def open_it() -> Image.Image:
        if isinstance(content, Exception):
            raise content
        return Image.new("L" if isinstance(content, int) else "RGB", (11, 9), content)

    return Item("", source, UNLABELLED, open_it)


def decoded(items: list[Item], shape: tuple[int, int, int] = GREY):
    return decode_beside(items, shape, ("cat",), tiny_params().ingest, lambda share, text: None)


def levels(*grey: int, sources: list[str] | None = None) -> ImageSet:
    """Flat images of class 0, told apart by their grey level."""
    pixels = np.array(grey, np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, *GREY), np.uint8)
    names = sources or [f"cat/{one}.png" for one in grey]
    return image_set(pixels, [0] * len(grey), ["cat"], source=names)


@pytest.mark.parametrize(
    ("content", "shape", "pixel"),
    [
        (90, GREY, [90]),
        (90, (8, 8, 3), [90, 90, 90]),
        ((9, 200, 70), (8, 8, 3), [9, 200, 70]),
        ((90, 90, 90), GREY, [90]),
    ],
)
def test_unlabelled_images_take_the_shape_of_the_labelled(content, shape, pixel) -> None:
    images, unreadable = decoded([item("unlabelled/deep/1.png", content)], shape)
    assert images.image_shape == shape
    assert images.images[0][4, 4].tolist() == pixel
    assert unreadable == []
    (row,) = images.manifest[list(COLUMNS)].itertuples(index=False)
    own = image_id(images.images[0])
    assert tuple(row) == (own, -1, "", "real", "unlabelled/deep/1.png", own)


def test_colour_among_grey_ones_is_made_grey() -> None:
    images, _ = decoded([item("1", (255, 0, 0))], GREY)
    assert images.images.shape == (1, *GREY)
    assert 0 < images.images[0][4, 4, 0] < 255


def test_nothing_readable_is_an_empty_set_and_no_failure(tmp_path: Path) -> None:
    images, (lost,) = decoded([item("unlabelled/1.png", OSError("broken"))])
    assert (lost.source, lost.reason) == ("unlabelled/1.png", "unreadable: broken")
    joined, copies = join_unlabelled(hide_labels(levels()), images, {})
    assert copies == []
    joined.save(tmp_path)
    loaded = ImageSet.load(tmp_path)
    assert loaded.images.shape == (0, *GREY)
    assert len(loaded) == 0
    full = hide_labels(levels(1, 2)).manifest
    assert loaded.manifest.dtypes.to_dict() == full.dtypes.to_dict()  # empty or not, one schema


def test_hidden_images_keep_nothing_but_their_pixels() -> None:
    images = shape_set(5)
    marked = ImageSet(images.images, images.manifest.assign(camera="north", group="box 7"))
    bare = hide_labels(marked)
    np.testing.assert_array_equal(bare.images, images.images)
    assert list(bare.manifest) == list(COLUMNS)
    assert set(bare.labels) == {-1}
    assert set(bare.manifest["class_name"]) == {""}
    assert (bare.manifest["source"] == "hidden/" + bare.manifest["image_id"]).all()
    assert (bare.manifest["group"] == bare.manifest["image_id"]).all()


def test_rows_are_in_the_order_of_ids_whatever_the_order_they_came_in() -> None:
    hidden, loose = noise_set(6, seed=1), noise_set(6, seed=2)
    one, _ = join_unlabelled(hide_labels(hidden), hide_labels(loose), {})
    turned = hidden.take(np.random.default_rng(0).permutation(len(hidden)))
    two, _ = join_unlabelled(hide_labels(turned), hide_labels(loose.take(range(11, -1, -1))), {})
    np.testing.assert_array_equal(one.images, two.images)
    assert one.manifest.equals(two.manifest)
    ids = one.manifest["image_id"].tolist()
    assert ids == sorted(ids) == [image_id(image) for image in sorted(one.images, key=image_id)]


def test_copies_are_left_out_and_a_hidden_one_does_not_tell_its_path() -> None:
    train, val, cut, hidden = levels(1), levels(2), levels(3), hide_labels(levels(4, 5))
    sources = ["u/a", "u/b", "u/c", "u/d", "u/e", "u/f"]
    loose = levels(1, 2, 3, 4, 6, 6, sources=sources)
    joined, copies = join_unlabelled(hidden, loose, {"train": train, "val": val, "cut": cut})
    assert sorted(joined.images[:, 0, 0, 0].tolist()) == [4, 5, 6]
    assert [(one.source, one.reason) for one in copies] == [
        ("u/a", "identical to cat/1.png"),
        ("u/b", "identical to cat/2.png"),
        ("u/c", "identical to cat/3.png"),
        ("u/d", f"identical to hidden/{hidden.manifest['image_id'][0]}"),
        ("u/f", "identical to u/e"),
    ]


@given(st.lists(st.integers(0, 9), max_size=30), st.sets(st.integers(0, 9), max_size=6))
def test_every_loose_image_is_kept_once_or_is_a_copy(drawn: list[int], known: set[int]) -> None:
    labelled = levels(*known)
    loose = levels(*drawn, sources=[f"u/{row:02d}" for row in range(len(drawn))])
    joined, copies = join_unlabelled(hide_labels(levels(100)), loose, {"train": labelled})
    kept = sorted(joined.images[:, 0, 0, 0].tolist())
    assert kept == [*sorted(set(drawn) - known), 100]
    assert len(copies) + len(kept) - 1 == len(drawn)


def test_what_shares_a_group_with_held_out_images_is_left_out() -> None:
    labelled = {
        name: image_set(levels(tone).images, [0], ["cat"], group=[f"patient {name}"])
        for name, tone in (("train", 1), ("val", 2), ("test", 3))
    }
    loose = hide_labels(levels(4, 5, 6))
    loose.manifest["source"] = ["u/4", "u/5", "u/6"]
    loose.manifest["group"] = ["patient train", "patient val", "patient test"]
    joined, left_out = join_unlabelled(hide_labels(levels()), loose, labelled)
    assert joined.manifest["source"].tolist() == ["u/4"]
    assert [(one.source, one.reason) for one in left_out] == [
        ("u/5", "of one group with images in val"),
        ("u/6", "of one group with images in test"),
    ]
