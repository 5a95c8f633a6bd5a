from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tasks.lift.intervals import Noise, Replicated, interval, noise
from tasks.lift.metrics import METRICS, Counter
from tasks.lift.resampling import RunDraws, draw_runs, image_units, image_weights
from tests.reference.lift_bootstrap import METRICS as REFERENCE
from tests.reference.lift_bootstrap import crossed_variances, draw_and_count, replicates


def stacked(labels, groups, resamples, seed=0):
    return np.concatenate(list(image_weights(labels, groups, resamples, seed)))


def two(labels, predicted, weights, name):
    counter = Counter(labels, predicted, np.ones(predicted.shape), int(labels.max()) + 1)
    metric = METRICS[name].of
    return metric(counter(np.ones((1, len(labels)))))[0], metric(counter(weights))


@pytest.mark.parametrize("name", REFERENCE)
def test_vectorised_equals_the_textbook_loop(name):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 12)
    treatment, baseline = (
        np.where(rng.random((4, 36)) < skill, labels, rng.integers(0, 3, (4, 36)))
        for skill in (0.8, 0.5)
    )
    of_images = stacked(labels, np.arange(36), 30)
    of_runs = draw_runs((7, 8, 7, 8), 4, 30, seed=0).weights
    quantity = Replicated(*two(labels, treatment, of_images, name)) - Replicated(
        *two(labels, baseline, of_images, name)
    )
    found = (of_runs * quantity.resampled).sum(axis=1)
    expected = replicates(labels, treatment, baseline, of_images, of_runs, name)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert quantity.observed.mean() == pytest.approx(
        np.mean(replicates(labels, treatment, baseline, np.ones((1, 36)), [[0.25] * 4], name))
    )


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


def test_what_a_group_shares_is_not_taken_for_evidence_of_each_image():
    """Four exposures of a scene are right or wrong together: the mean is as unsure as of one."""
    right = np.random.default_rng(3).integers(0, 2, 60).repeat(4).astype(float)
    labels = np.zeros(240, dtype=np.int64)
    spread = {
        name: (stacked(labels, groups, 4000) @ right / 240).std()
        for name, groups in (("scene", np.arange(60).repeat(4)), ("image", np.arange(240)))
    }
    assert spread["scene"] == pytest.approx(right[::4].std(ddof=1) / 60**0.5, rel=0.05)
    assert spread["scene"] / spread["image"] == pytest.approx(2.0, rel=0.06)


def test_groups_that_span_classes_are_drawn_from_all():
    strata, members = image_units(np.array([0, 1, 0, 1]), np.array([5, 5, 6, 6]))
    np.testing.assert_array_equal(strata, [0, 0])
    np.testing.assert_array_equal(members, [0, 0, 1, 1])


def test_gans_are_drawn_and_bring_their_runs():
    draws = draw_runs((0, 1, 2, 0, 1, 2), 6, 50_000, seed=0)
    assert draws.df == 2
    np.testing.assert_allclose(draws.weights.sum(axis=1), 1.0)
    np.testing.assert_array_equal(draws.weights[:, :3], draws.weights[:, 3:])
    rng = np.random.default_rng(2)
    values = rng.normal(size=6)
    means = (values[:3] + values[3:]) / 2  # which hold what the runs of a GAN do by themselves
    assert (draws.weights @ values).var() == pytest.approx(means.var(ddof=1) / 3, rel=0.03)


@pytest.mark.parametrize("gans", [None, (3, 3, 3, 3), (5, 6, 7, 8)])
def test_runs_that_are_not_nested_are_drawn_themselves(gans):
    draws = draw_runs(gans, 4, 500, seed=0)
    np.testing.assert_array_equal(draws.weights, draw_runs(None, 4, 500, seed=0).weights)
    assert draws.df == 3


def test_equal_seeds_give_equal_draws_and_others_do_not():
    labels = np.repeat([0, 1], 20)
    one, same, other = (stacked(labels, np.arange(40), 600, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)
    assert np.any(one[:256] != one[256:512])  # blocks do not repeat one another


def accuracies(hits, resamples):
    """Accuracy of ``[S, N]`` hits in one class, observed and resampled."""
    weights = stacked(np.zeros(hits.shape[1], np.int64), np.arange(hits.shape[1]), resamples)
    return Replicated(hits.mean(axis=1), weights @ hits.T / hits.shape[1])


def test_noise_splits_as_the_two_way_table_does():
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1, 60) + rng.normal(0, 0.4, (7, 1)) + rng.normal(0, 1, (7, 60))
    hits = (logits > 0).astype(float)
    of_rows, of_columns, of_cells = crossed_variances(hits)
    found = noise(accuracies(hits, 20_000).over(draw_runs(None, 7, 20_000, seed=0)), 59)
    assert found.runs == pytest.approx(of_rows, rel=0.05)
    assert found.cells == pytest.approx(of_cells, rel=0.05)
    assert found.images == pytest.approx(of_columns - of_cells, rel=0.1)
    assert (found.df_runs, found.df_images, found.seeds) == (6, 59, 0.0)


def test_noise_tells_gans_from_the_seeds_behind_them():
    gans = np.array([0, 0, 1, 1, 2, 2])
    shared = np.array([4.0, 4.0, 1.0, 1.0, 2.0, 2.0])
    own = np.array([1.0, -1.0] * 3)
    draws = draw_runs(tuple(gans), 6, 4000, seed=0)
    by_gan, by_seed = (
        noise(Replicated(values, np.tile(values, (4000, 1))).over(draws), 100)
        for values in (shared, own)
    )
    assert by_gan.units == pytest.approx(shared[::2].var(ddof=1) / 3, rel=0.05)
    assert by_gan.seeds == by_gan.images == 0.0
    assert by_gan.cells == pytest.approx(0.0, abs=1e-20)
    assert by_seed.runs == pytest.approx(0.0, abs=1e-20)  # the GANs' means do not differ


def test_the_interval_is_students_where_runs_alone_vary():
    values = np.array([0.3, 1.1, 0.8, 0.2, 0.9])
    quiet = Replicated(values, np.tile(values, (50_000, 1))).over(
        draw_runs(None, 5, 50_000, seed=0)
    )
    found = interval(values.mean(), noise(quiet, 10), level=0.9)
    expected = stats.ttest_1samp(values, 0.0)
    low, high = expected.confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.02)
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.05)
    assert found.df == pytest.approx(4.0)


@pytest.mark.parametrize("mean", [-0.31, -0.1, 0.0, 0.2, 0.45])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_p_value_agrees_with_the_interval(mean, level):
    found = interval(mean, Noise(0.01, 0.004, 0.002, 0.005, 3, 200), level)
    assert (found.p_value < 1 - level) == (not found.low <= 0.0 <= found.high)


def test_few_gans_widen_the_interval_and_many_images_narrow_it():
    few, many = (interval(0.0, Noise(0.04, 0, 0, 0.01, df, 500), 0.95) for df in (2, 30))
    assert few.se == many.se
    assert few.high > many.high
    by_images = interval(0.0, Noise(0.01, 0, 0, 0.04, 2, 500), 0.95)
    assert by_images.se == pytest.approx(few.se)
    assert by_images.df == pytest.approx(0.05**2 / (0.01**2 / 2 + 0.04**2 / 500))


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("mean", [0.1, 2.0, 40.0])
def test_two_gans_keep_a_quantile_of_their_own(mean, level):
    runs, images = 0.3, 0.05
    found = interval(mean, Noise(runs, 0.0, 0.0, images, 1, 500), level)
    of_runs, of_images = stats.t.ppf((1 + level) / 2, [1, 500])
    reach = np.sqrt(of_runs**2 * runs + of_images**2 * images)
    assert found.high - mean == pytest.approx(reach)
    assert (found.p_value < 1 - level) == (found.low > 0)
    three = interval(mean, Noise(runs, 0.0, 0.0, images, 2, 500), level)
    assert three.high < found.high
    alone = interval(mean, Noise(0.0, 0.0, 0.0, images, 1, 500), level)
    assert alone.df == pytest.approx(500)


def test_nothing_varies_nothing_is_uncertain():
    quiet = Replicated(np.full(4, 0.25), np.full((50, 4), 0.25))
    spread = noise(quiet.over(draw_runs(None, 4, 50, seed=0)), 10)
    found = interval(0.25, spread, 0.95)
    assert (found.mean, found.low, found.high, found.p_value) == (0.25, 0.25, 0.25, 0.0)
    assert interval(0.0, spread, 0.95).p_value == 1.0


def test_resamples_that_lost_a_class_are_left_out():
    values = np.array([0.2, 0.4, 0.6])
    resampled = np.tile(values, (400, 1))
    draws = draw_runs(None, 3, 400, seed=0)
    kept = RunDraws(draws.weights[:200], draws.units)
    broken = resampled.copy()
    broken[200:] = np.nan
    whole = noise(Replicated(values, resampled[:200]).over(kept), 9)
    assert noise(Replicated(values, broken).over(draws), 9) == whole
