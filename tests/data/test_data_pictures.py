from __future__ import annotations

import numpy as np

from tasks.data.pictures import enlarged, to_picture


def test_pixels_become_a_picture_of_their_kind() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    assert to_picture(grey).mode == "L"
    np.testing.assert_array_equal(np.asarray(to_picture(grey)), grey[..., 0])
    colour = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    np.testing.assert_array_equal(np.asarray(to_picture(colour)), colour)


def test_small_pictures_are_enlarged_by_whole_pixels_and_large_ones_left() -> None:
    small = to_picture(np.arange(6, dtype=np.uint8).reshape(2, 3, 1))
    large = np.asarray(enlarged(small, 4))
    assert large.shape == (8, 12)
    np.testing.assert_array_equal(large[::4, ::4], np.asarray(small))
    assert max(enlarged(small).size) == 170 * 3
    assert enlarged(to_picture(np.zeros((600, 8, 3), np.uint8))).size == (8, 600)
