from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from tasks.quality import neighbours
from tasks.quality.fidelity import (
    conditioning_accuracy,
    diversity,
    expected_coverage,
    frechet_distance,
    kernel_distance,
    prdc,
    spacing,
)
from tests.reference.fidelity_distances import frechet, kernel
from tests.reference.fidelity_manifolds import (
    coverage_of_draws,
    diversity_of,
    prdc_of,
    spacing_of_draws,
)


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None: ...


def points(n: int, seed: int, width: int = 6, shift: float = 0.0) -> np.ndarray:
    """Features as a ReLU leaves them: float32, none below 0."""
    drawn = np.random.default_rng(seed).normal(size=(n, width)) * np.arange(1, width + 1)
    return np.maximum(drawn + shift, 0).astype(np.float32)


@pytest.mark.parametrize(("n", "m"), [(40, 40), (30, 50), (5, 60)])
def test_the_frechet_distance_is_the_papers(n: int, m: int) -> None:
    real, fake = points(n, 0), points(m, 1, shift=0.5)
    assert frechet_distance(real, fake) == pytest.approx(frechet(real, fake), rel=1e-4)


def test_the_kernel_distance_is_the_papers() -> None:
    """Of all images at once: at equal sizes up to 100, every subset is the whole set."""
    real, fake = points(30, 0), points(30, 1, shift=0.5)
    assert kernel_distance(real, fake) == pytest.approx(kernel(real, fake), rel=1e-9)


def test_subsets_of_uneven_sets_mean_the_same_kernel_distance() -> None:
    real, fake = points(40, 0, shift=1), points(160, 1, shift=3)
    assert kernel_distance(real, fake) == pytest.approx(kernel(real, fake), rel=0.1)


def test_the_kernel_distance_is_the_same_each_time_and_leaves_torchs_state_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    first = kernel_distance(points(20, 0), points(50, 1))
    assert torch.equal(torch.rand(3), expected)
    assert kernel_distance(points(20, 0), points(50, 1)) == first


@pytest.mark.parametrize(("n", "m", "k"), [(30, 30, 5), (12, 40, 3), (40, 9, 1), (7, 8, 6)])
def test_the_loop_over_pairs_agrees_on_prdc(n: int, m: int, k: int) -> None:
    real, fake = points(n, 0), points(m, 1, shift=0.3)
    assert prdc(real, fake, k) == pytest.approx(prdc_of(real, fake, k), rel=1e-12)


def test_prdc_does_not_depend_on_how_much_is_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = points(31, 0), points(23, 1)
    whole = prdc(real, fake)
    monkeypatch.setattr(neighbours, "_CELLS", 70)
    assert prdc(real, fake) == whole


def test_small_sets_take_all_others_as_neighbours() -> None:
    real, fake = points(4, 0), points(3, 1)
    assert prdc(real, fake, k=5) == prdc(real, fake, k=2)


@pytest.mark.parametrize("n", [2, 3, 50])
def test_a_set_is_as_good_as_itself(n: int) -> None:
    real = points(n, 0, shift=20)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-5)
    assert prdc(real, real) == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}


def test_sets_apart_share_nothing() -> None:
    real = points(40, 0)
    assert set(prdc(real, real + 1000).values()) == {0.0}
    assert frechet_distance(real, real + 1000) == pytest.approx(6e6, rel=1e-9)
    assert kernel_distance(real, real + 1000) > 1e6


def test_more_of_the_same_is_near_and_a_shift_is_farther() -> None:
    real = points(200, 0)
    distances = [
        (frechet_distance(real, fake), kernel_distance(real, fake))
        for fake in (points(200, 1), points(200, 1, shift=1), points(200, 1, shift=4))
    ]
    assert distances == sorted(distances)
    assert abs(distances[0][1]) < 0.1 * distances[2][1]


def test_collapse_lowers_recall_and_coverage_but_not_precision() -> None:
    real = points(60, 0)
    sound, collapsed = prdc(real, points(60, 1)), prdc(real, real[:2].repeat(30, axis=0))
    assert collapsed["precision"] == 1
    assert collapsed["recall"] < sound["recall"] / 2
    assert collapsed["coverage"] < sound["coverage"] / 2


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance, prdc])
@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 1), (0, 0)])
def test_one_image_is_too_few(measure, n: int, m: int) -> None:
    with pytest.raises(ValueError, match="each side needs 2"):
        measure(points(n, 0), points(m, 1))


def test_diversity_is_a_mean_over_pairs() -> None:
    features = points(20, 0)
    assert diversity(features) == pytest.approx(diversity_of(features))
    assert diversity(points(1, 0).repeat(4, axis=0)) == 0.0


@pytest.mark.parametrize("count", [2, 3, 6])
def test_spacing_is_the_mean_over_all_draws(count: int) -> None:
    features = points(6, 0)
    assert spacing(features, count) == pytest.approx(spacing_of_draws(features, count))


def test_spacing_sees_two_images_shown_again_and_again_and_diversity_does_not() -> None:
    sound, two = points(40, 0), points(2, 1).repeat(20, axis=0)
    assert diversity(two) > 0.3 * diversity(sound)
    assert spacing(two, 8) < 0.1 * spacing(sound, 8)


@pytest.mark.parametrize(("count", "k"), [(1, 2), (3, 1), (6, 3)])
def test_expected_coverage_is_the_mean_over_all_draws(count: int, k: int) -> None:
    real, fake = points(9, 0), points(6, 1, shift=0.3)
    expected = coverage_of_draws(real, fake, count, k)
    assert expected_coverage(real, fake, count, k) == pytest.approx(expected)


def test_of_all_fakes_expected_coverage_is_coverage() -> None:
    real, fake = points(30, 0), points(50, 1, shift=0.3)
    assert expected_coverage(real, fake, 50, 5) == pytest.approx(prdc(real, fake)["coverage"])


def test_conditioning_is_recall_by_label() -> None:
    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(0, 4, 50), rng.random((50, 4))
    found = conditioning_accuracy(probabilities, labels)
    assert sorted(found) == [0, 1, 2, 3]
    expected = balanced_accuracy_score(labels, probabilities.argmax(axis=1))
    assert np.mean(list(found.values())) == pytest.approx(expected)
    assert conditioning_accuracy(np.eye(4)[labels], labels) == dict.fromkeys(range(4), 1.0)
