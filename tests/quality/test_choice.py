from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from tasks.quality.rules import (
    FILLS,
    acceptance,
    at_random,
    best_share,
    farthest_point,
)
from tests.reference.quality_manifold import k_centre


def test_the_best_share_is_the_best() -> None:
    p_real = np.array([0.2, 0.9, 0.5, 0.9, 0.1])
    assert best_share(p_real, 0.6).tolist() == [1, 3, 2]
    assert best_share(p_real, 0.01).tolist() == [1]
    assert sorted(best_share(p_real, 1.0).tolist()) == [0, 1, 2, 3, 4]


def test_unshifted_acceptance_is_the_ratio_over_its_maximum() -> None:
    p_real = np.linspace(0.2, 0.7, 50)
    ratio = p_real / (1 - p_real)
    np.testing.assert_allclose(acceptance(p_real, 0.0), ratio / ratio.max(), rtol=1e-6)


@given(st.integers(0, 500), st.floats(0.05, 0.99))
def test_the_share_is_accepted_on_average_and_the_order_stays(seed: int, share: float) -> None:
    p_real = np.random.default_rng(seed).beta(2, 2, 60)
    ratio = p_real / (1 - p_real)
    accepted = acceptance(p_real, share)
    assert accepted.mean() == pytest.approx(max(share, (ratio / ratio.max()).mean()), abs=1e-6)
    assert (np.diff(accepted[np.argsort(p_real)]) >= 0).all()
    assert (accepted >= ratio / ratio.max() - 1e-9).all()  # never stricter than the ratio
    assert accepted.max() == pytest.approx(1)


def test_what_is_drawn_follows_the_real_density() -> None:
    """Fakes uniform, real images twice as often at the end as in the middle: a known ratio."""
    rng = np.random.default_rng(0)
    x = rng.random(40_000)
    density = 0.5 + x  # of real images, over 1 for fakes
    kept = x[rng.random(len(x)) < acceptance(density / (density + 1), 0.0)]
    assert len(kept) / len(x) == pytest.approx(1 / 1.5, abs=0.01)  # analytic: 1 / max ratio
    assert kept.mean() == pytest.approx(0.25 + 1 / 3, abs=0.01)


@pytest.mark.parametrize("p_real", [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5]])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_certainties_and_few_images_give_probabilities(p_real: list[float], share: float) -> None:
    accepted = acceptance(np.array(p_real), share)
    assert ((accepted >= 0) & (accepted <= 1)).all()
    assert accepted.max() > 0.999


def clusters(many: int = 90, few: int = 10) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.r_[rng.normal(0, 0.1, (many, 3)), rng.normal(9, 1.0, (few, 3))]


def filled(name: str, points: np.ndarray, quota: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return FILLS[name](points, quota, rng) if name in FILLS else at_random(len(points), quota, rng)


@pytest.mark.parametrize("name", ["none", *FILLS])
@pytest.mark.parametrize("quota", [1, 7, 100, 500])
def test_a_quota_is_filled_with_different_rows(name: str, quota: int) -> None:
    rows = filled(name, clusters(), quota)
    assert len(np.unique(rows)) == len(rows) == min(quota, 100)


@pytest.mark.parametrize("name", ["none", *FILLS])
def test_equal_and_single_images_are_taken_as_well(name: str) -> None:
    for count in (1, 6):
        rows = filled(name, np.ones((count, 3)), 4)
        assert len(np.unique(rows)) == len(rows) == min(count, 4)


def test_farthest_point_is_the_slow_k_centre() -> None:
    points = np.random.default_rng(1).normal(size=(40, 3))
    rows = farthest_point(points, 12, np.random.default_rng(0))
    assert rows.tolist() == k_centre(points, 12)


def test_farthest_point_leaves_no_one_far() -> None:
    points = clusters()
    radius = {
        name: cdist(points, points[filled(name, points, 12)]).min(axis=1).max()
        for name in ("none", "farthest_point")
    }
    assert radius["farthest_point"] < radius["none"]


def test_density_prefers_the_sparse_without_taking_them_alone() -> None:
    points = clusters()
    sparse = np.zeros(2)
    for seed in range(100):
        for place, name in enumerate(("none", "density")):
            rows = filled(name, points, 10, seed)
            sparse[place] += (rows >= 90).mean() / 100
    assert sparse[0] == pytest.approx(0.1, abs=0.03)
    assert 0.3 < sparse[1] < 0.95
