"""Rows of images with names: gaps, whole pixels, and any name that a folder can have."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.gan.board import GAP, GROUND, Board

BLACK = 60  # darker than this is ink: the images of these tests are lighter


def board(names: list[str], side: int = 8, channels: int = 1, columns: int = 3) -> Board:
    rng = np.random.default_rng(0)
    shape = (len(names), columns, side, side, channels)
    return Board(rng.integers(BLACK + 1, 256, shape, dtype=np.uint8), names)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("side", "scale", "factor"), [(8, 2, 2), (8, None, 6), (32, None, 2), (64, None, 1)]
)
def test_each_image_stands_whole_between_gaps(
    side: int, scale: int | None, factor: int, channels: int
) -> None:
    shown = board(["ant", "bee"], side, channels)
    picture = shown.picture(scale)
    pixels = np.asarray(picture).reshape(picture.height, picture.width, channels)
    pitch = side * factor + GAP
    height, width = 2 * pitch + GAP, 3 * pitch
    assert pixels.shape[0] == height
    images = pixels[:, -width:]
    for row in range(2):
        for column in range(3):
            top, left = GAP + row * pitch, column * pitch
            there = images[top : top + side * factor, left : left + side * factor]
            for one in (0, factor - 1):
                np.testing.assert_array_equal(
                    there[one::factor, one::factor], shown.cells[row, column]
                )
    gaps = np.ones(images.shape[:2], bool)
    for top in range(GAP, height, pitch):
        for left in range(0, width, pitch):
            gaps[top : top + side * factor, left : left + side * factor] = False
    assert (images[gaps] == GROUND).all()


def test_a_name_stands_before_its_own_row_and_is_read_at_any_scale() -> None:
    for scale in (1, None):
        named = np.asarray(board(["ant", "", "bee"]).picture(scale))
        ink = named.min(axis=1) < BLACK
        thirds = np.array_split(ink[GAP:], 3)
        assert [third.any() for third in thirds] == [True, False, True]
        assert not ink[:GAP].any()  # whole letters, cut by no edge
        assert min(third.sum() for third in (thirds[0], thirds[2])) >= 8


def test_another_name_is_another_picture_and_the_same_one_the_same_bytes() -> None:
    assert board(["cat", "dog"]).png() == board(["cat", "dog"]).png()
    assert board(["cat", "dog"]).png() != board(["cat", "dig"]).png()


def test_accents_that_the_font_lacks_are_left_out() -> None:
    assert board(["café Übung"]).png() == board(["cafe Ubung"]).png()


HARD = [
    "",
    " ",
    "\n\n",
    "日本語",
    "👍🏽",
    "עברית",
    "\x00\x1b[31m",
    "\udcff",
    "a\u0301" * 40,
    "\u202eabc",
]


@pytest.mark.parametrize("name", [*HARD, "W" * 100_000], ids=lambda name: ascii(name)[:12])
def test_any_name_is_drawn_in_one_line_of_bounded_width(name: str) -> None:
    picture = board([name, "b"]).picture()
    assert picture.height == 2 * (48 + GAP) + GAP
    assert picture.width <= 3 * (48 + GAP) + 2 * GAP + 160


def test_what_is_cut_ends_in_an_ellipsis() -> None:
    long = board(["a class of very small birds that sing"]).png()
    assert long == board(["a class of very small birds that never sing"]).png()
    assert long != board(["a class of very small"]).png()
