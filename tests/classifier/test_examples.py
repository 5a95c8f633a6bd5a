from __future__ import annotations

import numpy as np

from tasks.classifier.examples import Examples
from tests.data.fake_sets import noise_set

ONE, TWO = noise_set(5), noise_set(4, seed=1)
FIRST, SECOND = Examples.of(ONE), Examples.of(TWO)


def test_rows_are_read_where_they_are() -> None:
    rows = np.array([7, 0, 0, 3])
    taken = FIRST.take(rows)
    assert len(taken) == 4
    assert taken.image_shape == (8, 8, 1)
    assert taken.sources[0] is ONE.images
    np.testing.assert_array_equal(taken.pixels(slice(None)), ONE.images[rows])
    np.testing.assert_array_equal(taken.labels, ONE.labels[rows])
    np.testing.assert_array_equal(taken.pixels(np.array([3, 1])), ONE.images[[3, 0]])
    np.testing.assert_array_equal(Examples.of(ONE, rows).pixels(slice(1, 3)), ONE.images[[0, 0]])


def test_what_is_joined_stands_one_after_the_other() -> None:
    joined = FIRST.take(np.array([9, 1])).joined(SECOND.take(np.array([2, 5]))).joined(FIRST)
    wanted = np.concatenate([ONE.images[[9, 1]], TWO.images[[2, 5]], ONE.images])
    np.testing.assert_array_equal(joined.pixels(slice(None)), wanted)
    assert joined.labels.tolist() == [1, 0, 0, 1, *ONE.labels]
    rows = np.array([3, 0, 13, 1])
    np.testing.assert_array_equal(joined.take(rows).pixels(slice(None)), wanted[rows])


def test_blocks_are_all_images_in_order() -> None:
    blocks = list(FIRST.joined(SECOND).blocks(7))
    assert [len(block) for block in blocks] == [7, 7, 4]
    np.testing.assert_array_equal(np.concatenate(blocks), np.concatenate([ONE.images, TWO.images]))


def test_an_identity_is_of_images_labels_and_order() -> None:
    assert Examples.of(noise_set(5)).identity == FIRST.identity
    other_labels = noise_set(5, label=[1] * 10)
    identities = {
        FIRST.identity,
        SECOND.identity,
        Examples.of(other_labels).identity,
        FIRST.take(np.array([1, 0])).identity,
        FIRST.take(np.array([0, 1])).identity,
        FIRST.take(np.arange(0)).identity,
        FIRST.joined(SECOND).identity,
        SECOND.joined(FIRST).identity,
    }
    assert len(identities) == 8
    rows = np.array([4, 2])
    assert Examples.of(ONE, rows).identity == Examples.of(ONE.take(rows)).identity
