from __future__ import annotations

import numpy as np

from tasks.data.pictures import to_picture


def test_pixels_become_a_picture_of_their_kind() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    assert to_picture(grey).mode == "L"
    np.testing.assert_array_equal(np.asarray(to_picture(grey)), grey[..., 0])
    colour = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    np.testing.assert_array_equal(np.asarray(to_picture(colour)), colour)
