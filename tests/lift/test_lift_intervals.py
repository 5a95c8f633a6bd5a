from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from tasks.lift.intervals import Replicated, interval
from tasks.lift.metrics import METRICS, Counter
from tasks.lift.resampling import RunDraws, draw_runs, image_units, image_weights
from tests.reference.lift_bootstrap import draw_and_count, replicates


def stacked(labels, groups, resamples, seed=0):
    return np.concatenate(list(image_weights(labels, groups, resamples, seed)))


@pytest.mark.parametrize("name", METRICS)
def test_vectorised_equals_the_textbook_loop(name):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 12)
    treatment, baseline = (
        np.where(rng.random((4, 36)) < skill, labels, rng.integers(0, 3, (4, 36)))
        for skill in (0.8, 0.5)
    )
    of_images = stacked(labels, np.arange(36), 30)
    draws = draw_runs((7, 8, 7, 8), 4, 30, seed=0)
    of_runs = draws.weights
    quantity = Replicated(*two(labels, treatment, of_images, name)) - Replicated(
        *two(labels, baseline, of_images, name)
    )
    found = (of_runs * quantity.resampled).sum(axis=1)
    expected = replicates(labels, treatment, baseline, of_images, of_runs, name)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    whole = interval(quantity, draws, 33, 0.9)
    assert min(expected) - 1e-12 <= whole.low <= whole.high <= max(expected) + 1e-12
    assert whole.mean == pytest.approx(
        np.mean(replicates(labels, treatment, baseline, np.ones((1, 36)), [[0.25] * 4], name))
    )


def two(labels, predicted, weights, name):
    counter, metric = Counter(labels, predicted, int(labels.max()) + 1), METRICS[name]
    return metric(counter(np.ones((1, len(labels)))))[0], metric(counter(weights))


def test_draws_have_the_variance_of_the_textbook_draw():
    rng = np.random.default_rng(0)
    slow = np.array([draw_and_count(6, rng) for _ in range(20_000)])
    fast = 6 * draw_runs(None, 6, 20_000, seed=0).weights
    np.testing.assert_allclose(fast.mean(axis=0), 1.0, atol=0.03)
    np.testing.assert_allclose(np.cov(fast.T), np.cov(slow.T), atol=0.05)


def test_drawing_one_less_makes_the_variance_of_a_mean_unbiased():
    values = np.array([1.0, 4.0, 2.0, 9.0, 3.0])
    means = draw_runs(None, 5, 100_000, seed=1).weights @ values
    assert means.var() == pytest.approx(values.var(ddof=1) / 5, rel=0.02)


def test_single_images_are_drawn_within_their_class():
    labels = np.array([0] * 5 + [1] * 2 + [2] * 9)
    weights = stacked(labels, np.arange(16)[::-1], 300)
    assert weights.shape == (300, 16)
    for label, size in enumerate((5, 2, 9)):
        np.testing.assert_allclose(weights[:, labels == label].sum(axis=1), size)


def test_images_of_a_group_are_drawn_together():
    labels = np.array([0, 0, 0, 1, 1, 1])
    weights = stacked(labels, np.array([4, 4, 2, 0, 9, 9]), 200)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])
    np.testing.assert_array_equal(weights[:, 4], weights[:, 5])
    assert np.any(weights[:, 0] != weights[:, 2])


def test_groups_that_span_classes_are_drawn_from_all():
    strata, members = image_units(np.array([0, 1, 0, 1]), np.array([5, 5, 6, 6]))
    np.testing.assert_array_equal(strata, [0, 0])
    np.testing.assert_array_equal(members, [0, 0, 1, 1])


def test_gans_are_drawn_first_and_runs_within_them():
    gans = (0, 1, 2, 0, 1, 2)
    draws = draw_runs(gans, 6, 50_000, seed=0)
    (between, df_between), (within, df_within) = draws.sources
    assert (df_between, df_within) == (2, 3)
    for weights in (draws.weights, between, within):
        np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    np.testing.assert_array_equal(between[:, :3], between[:, 3:])
    np.testing.assert_allclose(within[:, :3] + within[:, 3:], 1 / 3)
    # a value of the GAN alone, and one that cancels within it
    shared, own = np.array([4.0, 1.0, 2.0] * 2), np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    assert (draws.weights @ shared).var() == pytest.approx((between @ shared).var(), rel=0.03)
    assert (within @ shared).var() == pytest.approx(0.0, abs=1e-20)
    assert (between @ own).var() == pytest.approx(0.0, abs=1e-20)
    assert (draws.weights @ own).var() == pytest.approx(1 / 6, rel=0.03)


@pytest.mark.parametrize("gans", [None, (3, 3, 3, 3), (5, 6, 7, 8)])
def test_runs_that_are_not_nested_are_drawn_on_one_level(gans):
    draws = draw_runs(gans, 4, 500, seed=0)
    np.testing.assert_array_equal(draws.weights, draw_runs(None, 4, 500, seed=0).weights)
    assert [df for _, df in draws.sources] == [3]


def test_equal_seeds_give_equal_draws_and_others_do_not():
    labels = np.repeat([0, 1], 20)
    one, same, other = (stacked(labels, np.arange(40), 600, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)
    assert np.any(one[:256] != one[256:512])  # blocks do not repeat one another


def test_nothing_varies_nothing_is_uncertain():
    quiet = Replicated(np.full(4, 0.25), np.full((50, 4), 0.25))
    found = interval(quiet, draw_runs(None, 4, 50, seed=0), 10, 0.95)
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)


def test_few_units_widen_the_interval():
    rng = np.random.default_rng(0)
    values = rng.normal(size=6)
    quantity = Replicated(values, np.repeat(values[None], 4000, axis=0))
    weights = draw_runs(None, 6, 4000, seed=0).weights
    few, many = (
        interval(quantity, RunDraws(weights, ((weights, df),)), 100, 0.9) for df in (2, 1000)
    )
    assert few.low < many.low < many.high < few.high


@pytest.mark.parametrize(("noise_gan", "noise_run"), [(0.0, 0.1), (0.15, 0.05)])
def test_intervals_hold_a_planted_effect_as_often_as_they_say(noise_gan, noise_run):
    rng = np.random.default_rng(11)
    classes, size, runs, gans, effect, sets = 4, 60, 6, 3, 0.15, 150
    labels = np.repeat(np.arange(classes), size)
    gan_of = np.arange(runs) % gans
    draws = draw_runs(tuple(gan_of), runs, 1000, seed=0)
    of_images = stacked(labels, np.arange(len(labels)), 1000)
    own = 0.5  # noise of a single cell
    truth = norm.cdf((1.0 + effect) / np.sqrt(1 + own**2 + noise_gan**2 + noise_run**2)) - norm.cdf(
        1.0 / np.sqrt(1 + own**2 + noise_run**2)
    )
    held = 0
    for _ in range(sets):
        easy = rng.normal(1.0, 1.0, len(labels))
        noise = rng.normal(0, own, (2, runs, len(labels)))
        noise += rng.normal(0, noise_run, (2, runs, 1))
        hits = [easy + noise[0] > 0]
        hits.append(easy + effect + rng.normal(0, noise_gan, gans)[gan_of, None] + noise[1] > 0)
        base, treated = (
            Replicated(*two(labels, np.where(hit, labels, (labels + 1) % classes), of_images, B))
            for hit in hits
        )
        found = interval(treated - base, draws, len(labels) - classes, 0.9)
        held += found.low <= truth <= found.high
    assert held / sets >= 0.85


B = "balanced_accuracy"
