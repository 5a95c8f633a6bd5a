from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from tasks.quality import neighbours
from tasks.quality.neighbours import apart, fewest_bits, nearest, radii, rows_of_labels, some


def drawn(rows: int, seed: int, width: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 5))
def test_some_are_different_rows_in_order_and_all_where_they_are_few(
    count: int, most: int, seed: int
) -> None:
    rows = some(count, most, seed)
    assert len(rows) == min(count, most)
    assert (np.diff(rows) > 0).all()
    assert set(rows) <= set(range(count))
    assert rows.tolist() == some(count, most, seed).tolist()


def test_every_row_may_be_among_some() -> None:
    counts = np.bincount(np.concatenate([some(20, 5, seed) for seed in range(400)]), minlength=20)
    assert counts == pytest.approx(np.full(20, 100), abs=45)


@pytest.mark.parametrize("cells", [1, 60, 4_000_000])
def test_radii_are_distances_to_the_kth_other(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_CELLS", cells)
    points = np.concatenate([drawn(25, 0), drawn(5, 0)])  # five rows stand twice
    expected = np.sort(cdist(points, points), axis=1)
    for k in (1, 3, 29):
        assert radii(points, k).tolist() == expected[:, k].tolist()
    with pytest.raises(ValueError, match="30 rows have no 30 others"):
        radii(points, 30)


def test_radii_of_many_rows_are_taken_among_a_bounded_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points, among = drawn(60, 0), some(60, 20)
    monkeypatch.setattr(neighbours, "some", lambda count: some(count, 20))
    found = radii(points, 2)
    for row, radius in enumerate(found):
        others = [other for other in among if other != row]
        assert radius == np.sort(cdist(points[[row]], points[others])[0])[1]


def test_the_nearest_is_the_nearest_and_a_copy_is_at_distance_zero() -> None:
    rows, columns = drawn(30, 0, 64) + 100, drawn(40, 1, 64) + 100
    columns[7] = rows[3]
    found = nearest(rows, columns)
    assert found.tolist() == cdist(rows, columns).argmin(axis=1).tolist()
    np.testing.assert_allclose(apart(rows, columns[found]), cdist(rows, columns).min(axis=1))
    assert (found[3], apart(rows, columns[found])[3]) == (7, 0)
    others = cdist(columns, columns) + np.diag(np.full(40, np.inf))
    assert nearest(None, columns).tolist() == others.argmin(axis=1).tolist()


def test_bits_are_counted_to_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows, columns = (rng.integers(0, 2**64, n, dtype=np.uint64) for n in (9, 30))
    expected = [min((int(a) ^ int(b)).bit_count() for b in columns) for a in rows]
    for cells in (1, 100, 4_000_000):
        monkeypatch.setattr(neighbours, "_CELLS", cells)
        assert fewest_bits(rows, columns).tolist() == expected


def test_rows_of_labels_are_all_rows_once() -> None:
    labels = np.array([3, 1, 3, 3, 0, 1])
    found = rows_of_labels(labels)
    assert {label: rows.tolist() for label, rows in found.items()} == {
        0: [4],
        1: [1, 5],
        3: [0, 2, 3],
    }
