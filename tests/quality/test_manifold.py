from __future__ import annotations

import numpy as np
import pytest

from tasks.quality import neighbours
from tasks.quality.manifold import Authenticity, Realism
from tests.reference.quality_manifold import authentic_of, realism_of


def authentic(fake: np.ndarray, real: np.ndarray) -> np.ndarray:
    return Authenticity(real)(fake)


def realism(fake: np.ndarray, real: np.ndarray) -> np.ndarray:
    return Realism(real)(fake)


def drawn(rows: int, seed: int, width: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width))


@pytest.mark.parametrize("cells", [1, 60, 4_000_000])
def test_the_loops_over_all_pairs_agree(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr(neighbours, "_CELLS", cells)  # however few rows are looked at together
    real, fake = drawn(25, 0), drawn(40, 1)
    assert authentic(fake, real).tolist() == [authentic_of(one, real) for one in fake]
    expected = [realism_of(one, real, 3) for one in fake]
    np.testing.assert_allclose(realism(fake, real), expected)


def test_an_even_number_of_real_images_is_halved_too() -> None:
    real, fake = drawn(24, 0), drawn(9, 1)
    expected = [realism_of(one, real, 3) for one in fake]
    np.testing.assert_allclose(realism(fake, real), expected)


def test_copies_are_not_authentic_and_fresh_images_as_often_as_neighbours_are_not_mutual() -> None:
    real = drawn(400, 0, width=2)
    near = real[:100] + 1e-6 * drawn(100, 3, width=2)
    assert not authentic(real[:100], real).any()
    assert not authentic(near, real).any()
    # in the plane 62.15 % of nearest neighbours are mutual (Pickard 1982)
    fresh = authentic(drawn(2000, 2, width=2), drawn(2000, 4, width=2))
    assert fresh.mean() == pytest.approx(1 - 0.6215, abs=0.03)
    assert authentic(drawn(100, 2, width=2) + 50, real).all()


def test_realism_falls_off_the_manifold_and_a_copys_is_a_number() -> None:
    real = drawn(100, 0)
    values = [realism(drawn(50, 1) + away, real).mean() for away in (0, 3, 30)]
    assert values[0] > values[1] > values[2]
    assert np.isfinite(realism(real[:5], real)).all()
    assert np.isfinite(realism(np.zeros((2, 3)), np.zeros((4, 3)))).all()


def test_neither_scale_nor_place_of_the_features_matters() -> None:
    real, fake = drawn(30, 0), drawn(30, 1)
    moved = realism(fake * 7 + 3, real * 7 + 3)
    np.testing.assert_allclose(moved, realism(fake, real), rtol=1e-9)
    assert authentic(fake * 7 + 3, real * 7 + 3).tolist() == authentic(fake, real).tolist()


def test_no_images_have_no_scores_and_one_real_image_has_no_neighbour() -> None:
    real = drawn(3, 0)
    assert len(authentic(real[:0], real)) == len(realism(real[:0], real)) == 0
    for few in (real[:1], real[:0]):
        with pytest.raises(ValueError, match="rows have no"):
            authentic(real, few)
        with pytest.raises(ValueError, match="rows have no"):
            realism(real, few)


def test_many_real_images_are_stood_for_by_a_bounded_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, fake = drawn(3000, 0), drawn(400, 1)
    whole = Realism(real), Authenticity(real)
    sampled = [drawn(3000, 0)[neighbours.some(3000, 600)], fake]
    monkeypatch.setattr("tasks.quality.manifold.some", lambda count: neighbours.some(count, 600))
    few = Realism(real), Authenticity(real)
    assert few[0](fake).tolist() == realism(fake, sampled[0]).tolist()
    assert np.corrcoef(few[0](fake), whole[0](fake))[0, 1] > 0.5
    assert few[1](fake).mean() == pytest.approx(whole[1](fake).mean(), abs=0.1)
